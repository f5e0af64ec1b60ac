"""The distribution-spec client and the credentials it uses. It moves bytes and verifies digests; no store."""
