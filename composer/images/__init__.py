"""Images: references, the content-addressed store, layers, archives, and their way to and from registries.

Nothing here knows Compose files or containers; `Store.resolve` hands out layer directories and typed
configurations, and that is all an engine or a builder needs.
"""
