"""An application whose SDK loses spans in both ways it can: a queue that is too small, and an exporter whose target is away.

Arguments: the address of an OTLP receiver, and one where nobody listens.
"""

import os
import sys

os.environ["OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"] = "true"

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

agent, nobody = sys.argv[1:]
resource = Resource.create({"service.name": "losing"})
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=agent, insecure=True))], resource)
metrics.set_meter_provider(meters)
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=agent, insecure=True), max_queue_size=10, max_export_batch_size=10))
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=nobody, insecure=True, timeout=1)))
for _ in range(500):
    tracers.get_tracer("losing").start_span("chat", attributes={"spanledger.counted": True}).end()
tracers.force_flush()
meters.force_flush()
os._exit(0)
