#include "worker/trainer/data/events/kept_frames.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/logging.h"
#include "base/status.h"

namespace bsnn::trainer {
namespace {

namespace fs = std::filesystem;
using artifact::TensorType;

constexpr uint64_t kChunkBytes = 1 << 20;  // of pixels read at once to take the digest

std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<char> AsChars(std::span<uint8_t> bytes) {
  return {reinterpret_cast<char*>(bytes.data()), bytes.size()};
}

}  // namespace

KeptFramesWriter::KeptFramesWriter(fs::path path, std::string key, std::vector<uint8_t> labels,
                                   size_t sample_bytes)
    : path_(std::move(path)),
      temporary_(path_.string() + ".tmp"),
      key_(std::move(key)),
      labels_(std::move(labels)),
      sample_bytes_(sample_bytes) {}

absl::StatusOr<std::unique_ptr<KeptFramesWriter>> KeptFramesWriter::Create(
    fs::path path, std::string key, std::vector<uint8_t> labels, size_t sample_bytes) {
  RETURN_IF_ERROR(base::MakeFolder(path.parent_path()));
  std::unique_ptr<KeptFramesWriter> writer(
      new KeptFramesWriter(std::move(path), std::move(key), std::move(labels), sample_bytes));
  RETURN_IF_ERROR(writer->OpenAlone());
  const fs::path& temporary = writer->temporary_;
  ASSIGN_OR_RETURN(const std::string header, writer->Header(std::string(64, '0')));
  RETURN_IF_ERROR(base::WriteAll(writer->file_.get(), header, temporary));
  const std::string_view text = AsText(writer->labels_);
  writer->digest_.Update(text);
  RETURN_IF_ERROR(base::WriteAll(writer->file_.get(), text, temporary));
  return writer;
}

absl::Status KeptFramesWriter::OpenAlone() {
  base::FileDescriptor file(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return base::ErrnoStatus(errno, "cannot create", temporary_);
  int locked = ::flock(file.get(), LOCK_EX | LOCK_NB);
  if (locked != 0 && errno == EWOULDBLOCK) {
    base::LogInfo(fmt::format("waiting for another process that writes {}", temporary_.string()));
    do {
      locked = ::flock(file.get(), LOCK_EX);
    } while (locked != 0 && errno == EINTR);
  }
  if (locked != 0) return base::ErrnoStatus(errno, "cannot lock", temporary_);
  // Who waited may hold what has got its name meanwhile, or was removed.
  struct stat held = {}, named = {};
  if (::fstat(file.get(), &held) != 0 || ::stat(temporary_.c_str(), &named) != 0 ||
      held.st_dev != named.st_dev || held.st_ino != named.st_ino) {
    return absl::AlreadyExistsError(temporary_.string() + " was finished by another process");
  }
  if (::ftruncate(file.get(), 0) != 0) return base::ErrnoStatus(errno, "cannot empty", temporary_);
  file_ = std::move(file);
  return absl::OkStatus();
}

KeptFramesWriter::~KeptFramesWriter() {
  if (file_.valid()) ::unlink(temporary_.c_str());
}

absl::StatusOr<std::string> KeptFramesWriter::Header(const std::string& digest) const {
  ASSIGN_OR_RETURN(const std::string json,
                   artifact::MakeSafetensorsHeader(
                       {{"labels", TensorType::kU8, {labels_.size()}},
                        {"pixels", TensorType::kU8, {labels_.size(), sample_bytes_}}},
                       {{"key", key_}, {"sha256", digest}}));
  return artifact::SafetensorsPreamble(json);
}

absl::Status KeptFramesWriter::Add(std::span<const uint8_t> pixels) {
  digest_.Update(AsText(pixels));
  return base::WriteAll(file_.get(), AsText(pixels), temporary_);
}

absl::Status KeptFramesWriter::Finish() {
  ASSIGN_OR_RETURN(const std::string header, Header(digest_.FinishHex()));
  if (::lseek(file_.get(), 0, SEEK_SET) < 0) {
    return base::ErrnoStatus(errno, "cannot seek in", temporary_);
  }
  RETURN_IF_ERROR(base::WriteAll(file_.get(), header, temporary_));
  if (::fsync(file_.get()) != 0) return base::ErrnoStatus(errno, "cannot sync", temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return base::ErrnoStatus(errno, "cannot rename to", path_);
  }
  RETURN_IF_ERROR(file_.Close());
  return base::SyncPath(path_.parent_path());
}

absl::StatusOr<KeptFrames> KeptFrames::Open(const fs::path& path, const std::string& key,
                                            size_t samples, size_t sample_bytes) {
  ASSIGN_OR_RETURN(auto file, artifact::SafetensorsFile::Open(path));
  const auto metadata = [&](const char* name) {
    const auto found = file.metadata().find(name);
    return found == file.metadata().end() ? "" : found->second;
  };
  const auto fault = [&](const char* what) {
    return absl::DataLossError(fmt::format("{}: {}", path.string(), what));
  };
  if (metadata("key") != key) return fault("another key");
  const auto& tensors = file.tensors();
  const auto is = [](const artifact::TensorEntry& tensor, const char* name,
                     const std::vector<uint64_t>& shape) {
    return tensor.name == name && tensor.type == TensorType::kU8 && tensor.shape == shape;
  };
  if (tensors.size() != 2 || !is(tensors[0], "labels", {samples}) ||
      !is(tensors[1], "pixels", {samples, sample_bytes})) {
    return fault("tensors of other names, types or shapes");
  }
  const std::string expected = metadata("sha256");
  KeptFrames frames(std::move(file), samples);
  ASSIGN_OR_RETURN(const std::string digest, frames.ReadDigest());
  if (digest != expected) return fault("the content is damaged");
  return frames;
}

absl::StatusOr<std::string> KeptFrames::ReadDigest() {
  pixels_ = file_.tensors()[1];
  RETURN_IF_ERROR(file_.Read(file_.tensors()[0], AsChars(labels_)));
  artifact::Sha256 digest;
  digest.Update(AsText(labels_));
  std::string chunk;
  for (uint64_t at = 0; at < pixels_.size_bytes(); at += chunk.size()) {
    chunk.resize(std::min(kChunkBytes, pixels_.size_bytes() - at));
    RETURN_IF_ERROR(file_.ReadPart(pixels_, at, chunk));
    digest.Update(chunk);
  }
  return digest.FinishHex();
}

absl::Status KeptFrames::Read(int64_t index, std::span<uint8_t> out) const {
  return file_.ReadPart(pixels_, static_cast<uint64_t>(index) * out.size(), AsChars(out));
}

}  // namespace bsnn::trainer
