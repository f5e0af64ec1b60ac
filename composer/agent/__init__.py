"""The background process of one project, and the client that talks to it; see design.md section 4.

Protocol, on `run/projects/NAME/agent.sock` (stream, one JSON object per line):

    client: {"op": "up", "options": {...}, "project": {...}}       see `composer.agent.requests`
    agent:  {"event": {...}}                                       any number, as in `composer.events.Event`
    agent:  {"result": {...}} or {"error": {...}}                  exactly one, then the next request may come

A client that disconnects cancels its request. A fresh agent has a socket pair as standard input instead, and
gets `{"adopt": NAME, "root": ..., "run": ...}` first.
"""
