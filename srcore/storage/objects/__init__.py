"""Object stores (S3, Google, Azure): objects by name as a store, whole products on them, and leases."""
