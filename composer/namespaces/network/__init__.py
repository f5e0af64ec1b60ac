"""Networks of the namespace engine: bridges, addresses, names, published ports.

Two halves. Lean modules (`netlink`, `endpoint`, `dnat`) run in the shim, inside the container's network
namespace, and import little more than `socket` and `struct`. The rest runs in the agent. This package
imports nothing, so that a shim pays for nothing it does not use.
"""
