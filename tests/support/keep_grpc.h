/// Keeps gRPC running until the program ends. Without it, the last object of gRPC to go in a test
/// now and then waits 10 s for a poller of gRPC's own (seen with 1.51).
#pragma once

#include <grpc/grpc.h>

namespace bsnn::test {

inline const bool kGrpcIsKept = [] {
  grpc_init();
  return true;
}();

}  // namespace bsnn::test
