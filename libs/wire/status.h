/// absl::Status on the wire: the only place where a gRPC status is made or read.
///
/// An error travels as google.rpc.Status in the `grpc-status-details-bin` trailer: always ErrorInfo
/// (domain "bsnn.v1"; reason of base::ReasonOf, else the code's name), and BadRequest with one
/// violation for each of base::FaultsOf.
#pragma once

#include <absl/status/status.h>
#include <grpcpp/support/status.h>

namespace bsnn::wire {

inline constexpr char kErrorDomain[] = "bsnn.v1";

/// Codes map one to one. The message is cut to limits.h kWireErrorTextBytesMax and the details to
/// what fits the 8 KiB of trailers that every gRPC client accepts: long values are shortened before
/// a field is left out, and a last violation says how many were.
grpc::Status ToGrpc(const absl::Status& status);

/// Inverse of ToGrpc; a status without details keeps its code and message.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace bsnn::wire
