"""Configuration messages of TF Serving that its Python package does not include.

Defined as in tensorflow/serving: session_bundle_config.proto and monitoring_config.proto.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

_FIELD = descriptor_pb2.FieldDescriptorProto
_NUMBER = (_FIELD.TYPE_MESSAGE, _FIELD.LABEL_OPTIONAL, ".google.protobuf.Int64Value")
_NAME = (_FIELD.TYPE_MESSAGE, _FIELD.LABEL_OPTIONAL, ".google.protobuf.StringValue")
_SWITCH = (_FIELD.TYPE_MESSAGE, _FIELD.LABEL_OPTIONAL, ".google.protobuf.BoolValue")

# Fields of each message in order of field number.
_MESSAGES: dict[str, dict[str, tuple[int, int, str | None]]] = {
    "BatchingParameters": {
        "max_batch_size": _NUMBER,
        "batch_timeout_micros": _NUMBER,
        "max_enqueued_batches": _NUMBER,
        "num_batch_threads": _NUMBER,
        "thread_pool_name": _NAME,
        "allowed_batch_sizes": (_FIELD.TYPE_INT64, _FIELD.LABEL_REPEATED, None),
        "pad_variable_length_inputs": (_FIELD.TYPE_BOOL, _FIELD.LABEL_OPTIONAL, None),
        "enable_large_batch_splitting": _SWITCH,
        "max_execution_batch_size": _NUMBER,
    },
    "PrometheusConfig": {
        "enable": (_FIELD.TYPE_BOOL, _FIELD.LABEL_OPTIONAL, None),
        "path": (_FIELD.TYPE_STRING, _FIELD.LABEL_OPTIONAL, None),
    },
    "MonitoringConfig": {
        "prometheus_config": (
            _FIELD.TYPE_MESSAGE,
            _FIELD.LABEL_OPTIONAL,
            ".served_messages.PrometheusConfig",
        ),
    },
}


def read_message(name: str, content: str | bytes) -> Any:
    """Parse a message from its text format, as a model server does."""
    return text_format.Parse(content, _message_classes()[name]())


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="served_messages.proto",
        package="served_messages",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for number, (field_name, (kind, label, type_name)) in enumerate(fields.items(), 1):
            message.field.add(
                name=field_name, number=number, type=kind, label=label, type_name=type_name
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"served_messages.{name}"))
        for name in _MESSAGES
    }
