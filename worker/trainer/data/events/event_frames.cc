#include "worker/trainer/data/events/event_frames.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "artifact/digest.h"
#include "artifact/safetensors.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "worker/trainer/data/events/event_sources.h"
#include "worker/trainer/data/events/frames.h"
#include "worker/trainer/data/events/plane_resizer.h"
#include "worker/trainer/data/in_file.h"

namespace bsnn::trainer {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPixelsBytesMax = uint64_t{8} << 30;
/// Pieces of one recording that are cut in one go: bounds what builders take.
constexpr size_t kPiecesAtOnce = 16;
/// Part of the key: what is kept was made by this way of making it.
constexpr const char* kRecipe = "bsnn frames 1";

std::string_view AsText(const std::vector<uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Makes what the network sees of one sample from its counted frames.
class FramePainter {
 public:
  FramePainter(const spec::DataSpec& spec, int64_t steps, int32_t camera_side)
      : values_(spec.frame_values), steps_(steps), camera_side_(camera_side), side_(SideOf(spec)) {
    if (side_ != camera_side_) resizer_.emplace(camera_side_, side_);
  }

  size_t bytes() const { return static_cast<size_t>(steps_ * 2) * out_pixels(); }

  void Paint(const FrameBuilder& frames, std::span<uint8_t> out) const {
    std::fill(out.begin(), out.end(), uint8_t{0});
    const auto pixels = static_cast<size_t>(camera_side_) * static_cast<size_t>(camera_side_);
    std::vector<uint8_t> plane(pixels);
    for (size_t t = 0; t < static_cast<size_t>(std::min(frames.frames(), steps_)); ++t) {
      const auto counts = std::span(frames.counts()).subspan(t * 2 * pixels, 2 * pixels);
      const uint64_t most = std::max<uint64_t>(1, *std::max_element(counts.begin(), counts.end()));
      for (size_t p = 0; p < 2; ++p) {
        for (size_t i = 0; i < pixels; ++i) {
          const uint64_t count = counts[p * pixels + i];
          plane[i] = static_cast<uint8_t>(values_ == spec::FrameValues::kShareOfMax
                                              ? 255 * count / most
                                              : std::min<uint64_t>(count, 255));
        }
        const auto to = out.subspan((t * 2 + p) * out_pixels(), out_pixels());
        resizer_ ? resizer_->Run(plane, to)
                 : static_cast<void>(std::copy(plane.begin(), plane.end(), to.begin()));
      }
    }
  }

 private:
  size_t out_pixels() const { return static_cast<size_t>(side_) * static_cast<size_t>(side_); }

  const spec::FrameValues values_;
  const int64_t steps_;
  const int32_t camera_side_;
  const int32_t side_;
  std::optional<PlaneResizer> resizer_;
};

/// Cuts `samples`, all of one recording, to `out`, one painter.bytes() after the other.
absl::Status CutRecording(const EventSources& sources, std::span<const EventSample> samples,
                          const FrameCut& cut, const FramePainter& painter,
                          std::span<uint8_t> out) {
  const fs::path path = sources.folder / sources.recordings[samples[0].recording];
  ASSIGN_OR_RETURN(const std::string content, base::ReadFile(path, sources.bytes_max));
  const auto visit = [&](std::span<const EventSample> pieces, auto&& use) {
    return sources.parse(content, [&](const SensorEvent& event) {
      for (size_t i = 0; i < pieces.size(); ++i) {
        if (pieces[i].start <= event.time && event.time < pieces[i].end) use(i, event);
      }
    });
  };
  for (size_t first = 0; first < samples.size(); first += kPiecesAtOnce) {
    const auto pieces = samples.subspan(first, std::min(kPiecesAtOnce, samples.size() - first));
    std::vector<EventSurvey> surveys(pieces.size());
    const absl::Status surveyed =
        visit(pieces, [&](size_t i, const SensorEvent& event) { surveys[i].Add(event); });
    RETURN_IF_ERROR(InFile(path, surveyed));
    std::vector<FrameBuilder> builders;
    for (const EventSurvey& survey : surveys) builders.emplace_back(cut, survey, sources.side);
    RETURN_IF_ERROR(
        visit(pieces, [&](size_t i, const SensorEvent& event) { builders[i].Add(event); }));
    for (size_t i = 0; i < pieces.size(); ++i) {
      painter.Paint(builders[i], out.subspan((first + i) * painter.bytes(), painter.bytes()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<EventFrames> CutAll(const EventSources& sources, const FrameCut& cut,
                                   const FramePainter& painter) {
  EventFrames frames;
  if (sources.samples.size() > kPixelsBytesMax / painter.bytes()) {
    return absl::ResourceExhaustedError(fmt::format(
        "{}: {} samples of {} bytes of frames each (allowed: {} bytes in all)",
        sources.folder.string(), sources.samples.size(), painter.bytes(), kPixelsBytesMax));
  }
  frames.pixels.resize(sources.samples.size() * painter.bytes());
  const std::span<const EventSample> samples(sources.samples);
  for (size_t first = 0, last = 0; first < samples.size(); first = last) {
    while (last < samples.size() && samples[last].recording == samples[first].recording) ++last;
    RETURN_IF_ERROR(
        CutRecording(sources, samples.subspan(first, last - first), cut, painter,
                     std::span(frames.pixels)
                         .subspan(first * painter.bytes(), (last - first) * painter.bytes())));
  }
  for (const EventSample& sample : samples) frames.labels.push_back(sample.label);
  return frames;
}

/// Of everything that decides the frames: as SHA-256.
absl::StatusOr<std::string> KeyOf(const spec::DataSpec& spec, const FrameCut& cut,
                                  const EventSources& sources) {
  artifact::Sha256 key;
  key.Update(fmt::format("{}\n{} {} {} {} {} {}\n", kRecipe, spec::ToWord(spec.name),
                         static_cast<int>(cut.by), cut.frames,
                         cut.by == spec::FramesBy::kDuration ? cut.duration_us : 0,
                         static_cast<int>(spec.frame_values), SideOf(spec)));
  for (const fs::path& recording : sources.recordings) {
    const fs::path path = sources.folder / recording;
    struct stat info = {};
    if (::stat(path.c_str(), &info) != 0) return base::ErrnoStatus(errno, "cannot read", path);
    key.Update(fmt::format("{}\n{} {}.{}\n", recording.string(), info.st_size, info.st_mtim.tv_sec,
                           info.st_mtim.tv_nsec));
  }
  for (const EventSample& sample : sources.samples) {
    key.Update(
        fmt::format("{} {} {} {}\n", sample.recording, sample.label, sample.start, sample.end));
  }
  return key.FinishHex();
}

std::string DigestOf(const EventFrames& frames) {
  artifact::Sha256 digest;
  digest.Update(AsText(frames.labels));
  digest.Update(AsText(frames.pixels));
  return digest.FinishHex();
}

/// DataLoss naming the fault where the file is not what was kept under `key`.
absl::StatusOr<EventFrames> ReadKept(const fs::path& path, const std::string& key, size_t samples,
                                     size_t sample_bytes) {
  ASSIGN_OR_RETURN(const auto file, artifact::SafetensorsFile::Open(path));
  const auto metadata = [&](const char* name) {
    const auto found = file.metadata().find(name);
    return found == file.metadata().end() ? "" : found->second;
  };
  const auto fault = [&](const char* what) {
    return absl::DataLossError(fmt::format("{}: {}", path.string(), what));
  };
  if (metadata("key") != key) return fault("another key");
  EventFrames frames{std::vector<uint8_t>(samples * sample_bytes), std::vector<uint8_t>(samples)};
  int read = 0;
  for (const artifact::TensorEntry& tensor : file.tensors()) {
    auto& to = tensor.name == "labels" ? frames.labels : frames.pixels;
    if (tensor.type != artifact::TensorType::kU8 || tensor.size_bytes() != to.size()) {
      return fault("a tensor of another type or size");
    }
    RETURN_IF_ERROR(file.Read(tensor, {reinterpret_cast<char*>(to.data()), to.size()}));
    ++read;
  }
  if (read != 2 || metadata("sha256") != DigestOf(frames)) return fault("the content is damaged");
  return frames;
}

absl::Status Keep(const fs::path& path, const std::string& key, const EventFrames& frames) {
  RETURN_IF_ERROR(base::MakeFolder(path.parent_path()));
  // Named by process, so that two jobs that start at once each write their own.
  const fs::path temporary = fmt::format("{}.{}.tmp", path.string(), ::getpid());
  base::FileDescriptor file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return base::ErrnoStatus(errno, "cannot create", temporary);
  const auto write = [&]() -> absl::Status {
    RETURN_IF_ERROR(artifact::WriteSafetensors(
        {{"labels", artifact::TensorType::kU8, {frames.labels.size()}, AsText(frames.labels)},
         {"pixels", artifact::TensorType::kU8, {frames.pixels.size()}, AsText(frames.pixels)}},
        {{"key", key}, {"sha256", DigestOf(frames)}},
        [&](std::string_view bytes) { return base::WriteAll(file.get(), bytes, temporary); }));
    if (::fsync(file.get()) != 0) return base::ErrnoStatus(errno, "cannot sync", temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      return base::ErrnoStatus(errno, "cannot rename to", path);
    }
    return base::SyncPath(path.parent_path());
  };
  const absl::Status written = write();
  if (!written.ok()) ::unlink(temporary.c_str());
  return written;
}

}  // namespace

absl::StatusOr<EventFrames> LoadEventFrames(const spec::DataSpec& spec, int64_t steps,
                                            const fs::path& folder, bool train) {
  ASSIGN_OR_RETURN(const EventSources sources, ListEventSources(spec, folder, train));
  const FrameCut cut{spec.frames_by, steps, spec.frame_duration_us};
  const FramePainter painter(spec, steps, sources.side);
  ASSIGN_OR_RETURN(const std::string key, KeyOf(spec, cut, sources));
  const fs::path path =
      sources.folder / "bsnn-frames" / fmt::format("{}.safetensors", key.substr(0, 32));
  std::error_code error;
  if (fs::exists(path, error)) {
    auto kept = ReadKept(path, key, sources.samples.size(), painter.bytes());
    if (kept.ok()) return kept;
    base::LogWarning(
        fmt::format("kept frames are made anew: {}", std::string(kept.status().message())));
  }
  const absl::Duration before = base::RealClock().Steady();
  ASSIGN_OR_RETURN(EventFrames frames, CutAll(sources, cut, painter));
  const absl::Duration took = base::RealClock().Steady() - before;
  base::LogInfo(fmt::format("cut {} samples of {} recordings in {} into frames: {:.1f} s",
                            sources.samples.size(), sources.recordings.size(),
                            sources.folder.string(), absl::ToDoubleSeconds(took)));
  if (const absl::Status kept = Keep(path, key, frames); !kept.ok()) {
    base::LogWarning(fmt::format("frames are not kept: {}", std::string(kept.message())));
  }
  return frames;
}

}  // namespace bsnn::trainer
