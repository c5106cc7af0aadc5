"""A gRPC client in Python: grpcio (gRPC's C core), and stubs that grpcio-tools made of the proto files.

Reads one JSON object from stdin: `port`, `caFile` for TLS, `headers`, `method` of AuthorizationService, `request`,
and `times` and `at_once` for many calls on one connection. Prints one: {"answer"} or {"failure"}, or {"succeeded"}.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from tollgate.v1 import authorization_service_pb2 as messages
from tollgate.v1 import authorization_service_pb2_grpc as stubs

DEADLINE_SECONDS = 15


def main() -> None:
    asked = json.load(sys.stdin)
    request = json_format.ParseDict(asked["request"], getattr(messages, asked["method"] + "Request")())
    metadata = list(asked["headers"].items())
    with channel_to(asked) as channel:
        method = getattr(stubs.AuthorizationServiceStub(channel), asked["method"])

        def call() -> dict:
            return json_format.MessageToDict(method(request, metadata=metadata, timeout=DEADLINE_SECONDS))

        if "times" in asked:
            json.dump({"succeeded": count_successes(call, asked["times"], asked["at_once"])}, sys.stdout)
            return
        try:
            json.dump({"answer": call()}, sys.stdout)
        except grpc.RpcError as error:
            json.dump({"failure": failure_of(error)}, sys.stdout)


def channel_to(asked: dict) -> grpc.Channel:
    address = f"127.0.0.1:{asked['port']}"
    if "caFile" not in asked:
        return grpc.insecure_channel(address)
    with open(asked["caFile"], "rb") as ca:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read()))


def count_successes(call, times: int, at_once: int) -> int:
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        calls = [pool.submit(call) for _ in range(times)]
    return sum(each.exception() is None for each in calls)


def failure_of(error: grpc.RpcError) -> dict:
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    info = error_details_pb2.ErrorInfo()
    reasons = [info.reason for detail in status.details if detail.Unpack(info)]
    return {"code": error.code().value[0], "reason": ",".join(reasons)}


main()
