// Steps of a write, and what a crash after each leaves:
//   1. folder .new-<name>, its files, each synced       no checkpoint; RemoveLeftovers clears it
//   2. manifest.json in it, synced; the folder synced   the same
//   3. rename to <name> (exchanged with an old one)     the whole checkpoint
//   4. sync of the parent                               the same, after power loss too
//   5. removal of the old one, if there was one         leftovers only
#include "artifact/checkpoint_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>

#include "artifact/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/status.h"

namespace bsnn::artifact {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";
constexpr std::string_view kNewPrefix = ".new-";
constexpr std::string_view kOldPrefix = ".old-";

fs::path Beside(const fs::path& path, std::string_view prefix) {
  return path.parent_path() / fmt::format("{}{}", prefix, path.filename().string());
}

absl::Status RemoveAll(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return base::ErrnoStatus(error.value(), "cannot remove", path);
  return absl::OkStatus();
}

absl::StatusOr<ManifestFile> WriteFile(const fs::path& folder, const FileContent& content) {
  const fs::path path = folder / content.name;
  base::FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid()) return base::ErrnoStatus(errno, "cannot create", path);
  ManifestFile entry{content.name, 0, ""};
  Sha256 digest;
  RETURN_IF_ERROR(content.write([&](std::string_view bytes) {
    digest.Update(bytes);
    entry.size_bytes += bytes.size();
    return base::WriteAll(file.get(), bytes, path);
  }));
  if (::fsync(file.get()) != 0) return base::ErrnoStatus(errno, "cannot sync", path);
  RETURN_IF_ERROR(file.Close());
  entry.sha256 = digest.FinishHex();
  return entry;
}

/// Moves the finished `fresh` folder to `path`, in place of what may be there.
absl::Status Publish(const fs::path& fresh, const fs::path& path) {
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) {
      return base::ErrnoStatus(errno, "cannot rename to", path);
    }
    if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) != 0) {
      // A file system without exchange: between the two renames there is no checkpoint here.
      const fs::path old = Beside(path, kOldPrefix);
      RETURN_IF_ERROR(RemoveAll(old));
      if (::rename(path.c_str(), old.c_str()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) {
        return base::ErrnoStatus(errno, "cannot replace", path);
      }
      RETURN_IF_ERROR(base::SyncPath(path.parent_path()));
      return RemoveAll(old);
    }
  }
  RETURN_IF_ERROR(base::SyncPath(path.parent_path()));
  return RemoveAll(fresh);
}

/// Fills the folder `fresh`, manifest last. Returns the manifest's bytes.
absl::StatusOr<std::string> Fill(const fs::path& fresh, const std::vector<FileContent>& files,
                                 Manifest manifest) {
  RETURN_IF_ERROR(RemoveAll(fresh));
  RETURN_IF_ERROR(base::MakeFolder(fresh));
  manifest.files.clear();
  for (const FileContent& content : files) {
    if (!IsFileName(content.name)) {
      return absl::InvalidArgumentError(
          fmt::format("'{}' cannot be a checkpoint's file", content.name));
    }
    ASSIGN_OR_RETURN(ManifestFile entry, WriteFile(fresh, content));
    manifest.files.push_back(std::move(entry));
  }
  std::string text = ToText(manifest);
  const auto write_manifest = [&](const ByteSink& sink) { return sink(text); };
  RETURN_IF_ERROR(WriteFile(fresh, {kManifestName, write_manifest}).status());
  RETURN_IF_ERROR(base::SyncPath(fresh));
  return text;
}

absl::Status CheckFile(const fs::path& folder, const ManifestFile& file) {
  const fs::path path = folder / file.name;
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return absl::DataLossError(fmt::format("{} is missing", path.string()));
  }
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (size != file.size_bytes) {
    return absl::DataLossError(
        fmt::format("{} is {} bytes, the manifest says {}", path.string(), size, file.size_bytes));
  }
  ASSIGN_OR_RETURN(const std::string digest, Sha256File(path));
  if (digest != file.sha256) {
    return absl::DataLossError(
        fmt::format("{} has SHA-256 {}, the manifest says {}", path.string(), digest, file.sha256));
  }
  return absl::OkStatus();
}

/// The step of a folder name, or -1.
int64_t StepOf(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kStepPrefix)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kStepPrefix.size(), end, step);
  if (error != std::errc() || stop != end || name != CheckpointFolderName(step)) return -1;
  return step;
}

}  // namespace

uint64_t VerifiedCheckpoint::size_bytes() const {
  uint64_t total = manifest_text.size();
  for (const ManifestFile& file : manifest.files) total += file.size_bytes;
  return total;
}

absl::StatusOr<VerifiedCheckpoint> VerifyCheckpointFolder(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return absl::NotFoundError(fmt::format("there is no checkpoint folder {}", path.string()));
  }
  VerifiedCheckpoint checkpoint{path, {}, "", ""};
  auto text = base::ReadFile(path / kManifestName, base::kManifestBytesMax);
  if (!text.ok()) {
    return absl::DataLossError(
        fmt::format("{}: no manifest: {}", path.string(), std::string(text.status().message())));
  }
  auto manifest = ParseManifest(*text);
  if (!manifest.ok()) {
    return absl::DataLossError(
        fmt::format("{}: {}", path.string(), std::string(manifest.status().message())));
  }
  for (const ManifestFile& file : manifest->files) RETURN_IF_ERROR(CheckFile(path, file));
  checkpoint.digest = Sha256Hex(*text);
  checkpoint.manifest = *std::move(manifest);
  checkpoint.manifest_text = *std::move(text);
  return checkpoint;
}

absl::StatusOr<VerifiedCheckpoint> WriteCheckpointFolder(const fs::path& path,
                                                         const std::vector<FileContent>& files,
                                                         Manifest manifest) {
  const fs::path fresh = Beside(path, kNewPrefix);
  auto text = Fill(fresh, files, std::move(manifest));
  if (!text.ok()) {
    // Give the space back; what comes first is the error of the write.
    RemoveAll(fresh).IgnoreError();
    return text.status();
  }
  RETURN_IF_ERROR(Publish(fresh, path));
  ASSIGN_OR_RETURN(Manifest written, ParseManifest(*text));
  std::string digest = Sha256Hex(*text);
  return VerifiedCheckpoint{path, std::move(written), *std::move(text), std::move(digest)};
}

std::string CheckpointFolderName(int64_t step) { return fmt::format("step-{:08d}", step); }

std::vector<fs::path> ListCheckpointFolders(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const int64_t step = StepOf(it->path());
    if (step >= 0) found.emplace_back(step, it->path());
  }
  std::sort(found.begin(), found.end(), std::greater<>());
  std::vector<fs::path> paths;
  for (auto& [step, path] : found) paths.push_back(std::move(path));
  return paths;
}

absl::Status RemoveCheckpointFolder(const fs::path& path) {
  const fs::path old = Beside(path, kOldPrefix);
  RETURN_IF_ERROR(RemoveAll(old));
  if (::rename(path.c_str(), old.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return base::ErrnoStatus(errno, "cannot remove", path);
  }
  return RemoveAll(old);
}

absl::Status RemoveLeftovers(const fs::path& folder) {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(kNewPrefix) || name.starts_with(kOldPrefix)) {
      leftovers.push_back(it->path());
    }
  }
  for (const fs::path& path : leftovers) RETURN_IF_ERROR(RemoveAll(path));
  return absl::OkStatus();
}

}  // namespace bsnn::artifact
