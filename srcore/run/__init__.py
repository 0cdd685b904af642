"""One scene, one dataset, one file: the stages in order, leases and receipts. Knows no scheduler and no Prefect."""
