/// Channels and server limits that fit each other (keep-alive, message size): a client that pings
/// as MakeChannel does is never sent away by a server set up by SetServerLimits.
#pragma once

#include <absl/time/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

namespace bsnn::wire {

struct ChannelOptions {
  /// Longest wait between two attempts to connect.
  absl::Duration reconnect_backoff_max = absl::Seconds(2);
  /// Silence after which the link is tested by a ping; at least 4 s, the server's floor.
  absl::Duration keepalive_time = absl::Seconds(20);
  absl::Duration keepalive_timeout = absl::Seconds(20);
};

/// A channel to `address` ("127.0.0.1:7070", "unix:/path", "dns:///name:port"). Connects lazily.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           const ChannelOptions& options = {});

/// Message and stream limits of limits.h, and keep-alive rules for MakeChannel's clients.
void SetServerLimits(grpc::ServerBuilder& builder);

}  // namespace bsnn::wire
