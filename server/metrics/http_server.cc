#include "server/metrics/http_server.h"

#include <civetweb.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "server/metrics/exposition.h"

namespace bsnn::metrics {
namespace {

/// One context of CivetWeb's library, initialised as long as any server lives.
struct Library {
  Library() { mg_init_library(0); }
  ~Library() { mg_exit_library(); }
};

struct StopContext {
  void operator()(mg_context* context) const { mg_stop(context); }
};

void Reply(mg_connection* connection, std::string_view status, std::string_view body, bool head) {
  const std::string header = fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
      "Content-Length: {}\r\nCache-Control: no-store\r\n\r\n",
      status, body.size());
  mg_write(connection, header.data(), header.size());
  if (!head) mg_write(connection, body.data(), body.size());
}

int ServeMetrics(mg_connection* connection, void* collectable) {
  const std::string_view method = mg_get_request_info(connection)->request_method;
  if (method != "GET" && method != "HEAD") {
    Reply(connection, "405 Method Not Allowed", "GET /metrics\n", false);
    return 405;
  }
  Reply(connection, "200 OK",
        ToText(static_cast<const prometheus::Collectable*>(collectable)->Collect()),
        method == "HEAD");
  return 200;
}

int ServeNothing(mg_connection* connection, void*) {
  Reply(connection, "404 Not Found", "GET /metrics\n", false);
  return 404;
}

class CivetHttpServer : public HttpServer {
 public:
  CivetHttpServer(std::unique_ptr<Library> library, mg_context* context, std::string address)
      : library_(std::move(library)), context_(context), address_(std::move(address)) {}
  const std::string& address() const override { return address_; }

 private:
  std::unique_ptr<Library> library_;  // outlives the context
  std::unique_ptr<mg_context, StopContext> context_;
  std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Make(
    const std::string& address, const prometheus::Collectable& collectable) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("cannot serve metrics on '{}' (allowed: host:port)", address));
  }
  std::string host = address.substr(0, colon);
  if (host == "localhost") host = "127.0.0.1";
  const std::string listen = host + address.substr(colon);
  auto library = std::make_unique<Library>();
  const char* options[] = {"listening_ports",    listen.c_str(), "num_threads", "2",
                           "request_timeout_ms", "10000",        nullptr};
  mg_callbacks callbacks{};
  callbacks.log_message = [](const mg_connection*, const char*) { return 1; };
  mg_context* context = mg_start(&callbacks, nullptr, options);
  if (context == nullptr) {
    return absl::UnavailableError(
        fmt::format("cannot serve metrics on {}: the address is taken or not this host's", listen));
  }
  // CivetWeb takes no const pointer; ServeMetrics makes it const again.
  auto* data = const_cast<prometheus::Collectable*>(&collectable);
  mg_set_request_handler(context, "/metrics$", ServeMetrics, data);
  mg_set_request_handler(context, "**", ServeNothing, nullptr);
  mg_server_port port{};
  const int ports = mg_get_server_ports(context, 1, &port);
  return std::make_unique<CivetHttpServer>(std::move(library), context,
                                           fmt::format("{}:{}", host, ports > 0 ? port.port : 0));
}

}  // namespace bsnn::metrics
