/// Page tokens and stream cursors: a place in a list, opaque to callers, bound to the request.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace bsnn::api {

/// A token for `place`. `scope` is everything else that the next request must say again: the
/// method, the parent, the filters. Not secret, but a changed token or scope is noticed.
std::string MakePageToken(std::string_view scope, std::string_view place);

/// The place; "" for the empty token. InvalidArgument with reason PAGE_TOKEN_INVALID and a fault of
/// `field` where the token is none or comes from a request with another scope.
absl::StatusOr<std::string> ReadPageToken(std::string_view field, std::string_view scope,
                                          std::string_view token);

/// The same for a place that is a number from 0; 0 for the empty token.
absl::StatusOr<int64_t> ReadNumberToken(std::string_view field, std::string_view scope,
                                        std::string_view token);

}  // namespace bsnn::api
