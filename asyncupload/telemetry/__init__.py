"""What happens to uploads, as spans and metrics: observers to give to a client.

Each room needs its library, which an extra brings along::

    pip install "asyncupload[otel,prometheus]"

    from asyncupload.telemetry.otel import Tracing
    from asyncupload.telemetry.prometheus import Metrics

    client = Client(..., observers=[Tracing(), Metrics()])
"""
