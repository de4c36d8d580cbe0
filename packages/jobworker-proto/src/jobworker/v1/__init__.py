"""The jobworker API, version 1: modules generated from ``proto/jobworker/v1``, imported as generated.

``job_pb2`` (jobs and their states), ``output_pb2`` (captured output), ``worker_service_pb2`` (requests and responses)
and ``worker_service_pb2_grpc`` (the service's stub and servicer).
"""
