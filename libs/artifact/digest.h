/// SHA-256, as lower-case hexadecimal.
#pragma once

#include <absl/status/statusor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace bsnn::artifact {

/// Hashes bytes as they come. Thread-compatible.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void Update(std::string_view bytes);
  /// The digest of all bytes so far: 64 characters. Call once; nothing may follow.
  std::string FinishHex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(std::string_view bytes);

/// Of a whole file, read in blocks. The error of opening or reading it.
absl::StatusOr<std::string> Sha256File(const std::filesystem::path& path);

/// Whether `text` is 64 lower-case hexadecimal digits.
bool IsSha256Hex(std::string_view text);

}  // namespace bsnn::artifact
