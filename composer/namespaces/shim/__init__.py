"""One supervisor per container: parent of its init, owner of its output, executor of its policies.

Forked from the zygote, never exec'd, single-threaded; it outlives the command and the agent that started it.
Everything it imports was imported by the zygote.
"""
