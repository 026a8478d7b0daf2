"""What a server tells of itself: metrics for Prometheus, spans for OpenTelemetry."""
