// Precompiled for the targets that speak gRPC: base, gRPC, and the generated messages and services.
#pragma once

#include <bsnn/v1/checkpoint.grpc.pb.h>
#include <bsnn/v1/event.pb.h>
#include <bsnn/v1/job.grpc.pb.h>
#include <bsnn/v1/server.grpc.pb.h>
#include <bsnn/v1/spec.pb.h>
#include <bsnn/v1/worker.grpc.pb.h>
#include <cmake/pch/base.h>
#include <grpcpp/grpcpp.h>
