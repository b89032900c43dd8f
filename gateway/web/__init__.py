"""The page, the HTTP interface and the metrics, of the extra `web`: imported only where they are served."""
