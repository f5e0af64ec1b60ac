"""Bring the machine to the state that a project asks for: observe, reconcile, execute.

No kernel and no terminal here: the controller talks to an `Engine`, to images and to a builder, reports
`Event`s, and raises `ComposerError`s.
"""
