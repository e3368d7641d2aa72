#include "worker/trainer/data/events/event_frames.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "artifact/digest.h"
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

/// Of pixels, where they cannot be kept in a file.
constexpr uint64_t kMemoryBytesMax = uint64_t{8} << 30;
/// Pieces of one recording that are cut in one go: bounds what builders and pixels take.
constexpr size_t kPiecesAtOnce = 16;
constexpr absl::Duration kReportEvery = absl::Seconds(10);
/// Part of the key: what is kept was made by this way of making it.
constexpr const char* kRecipe = "bsnn frames 2";

/// Takes the pixels of the next samples, or fails.
using PixelSink = std::function<absl::Status(std::span<const uint8_t>)>;

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

/// Cuts `samples`, all of one recording, and gives them to `sink` in order.
absl::Status CutRecording(const EventSources& sources, std::span<const EventSample> samples,
                          const FrameCut& cut, const FramePainter& painter, const PixelSink& sink) {
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
    std::vector<uint8_t> pixels(pieces.size() * painter.bytes());
    for (size_t i = 0; i < pieces.size(); ++i) {
      painter.Paint(builders[i], std::span(pixels).subspan(i * painter.bytes(), painter.bytes()));
    }
    RETURN_IF_ERROR(sink(pixels));
  }
  return absl::OkStatus();
}

/// Cuts all samples, in order, and says how far it is.
absl::Status CutAll(const EventSources& sources, const FrameCut& cut, const FramePainter& painter,
                    const PixelSink& sink) {
  const base::Clock& clock = base::RealClock();
  const absl::Duration begin = clock.Steady();
  absl::Duration reported = begin;
  const std::span<const EventSample> samples(sources.samples);
  for (size_t first = 0, last = 0; first < samples.size(); first = last) {
    while (last < samples.size() && samples[last].recording == samples[first].recording) ++last;
    RETURN_IF_ERROR(
        CutRecording(sources, samples.subspan(first, last - first), cut, painter, sink));
    if (const absl::Duration now = clock.Steady(); now - reported >= kReportEvery) {
      reported = now;
      const double share = static_cast<double>(last) / static_cast<double>(samples.size());
      base::LogInfo(fmt::format("cut {} of {} samples into frames, {:.0f} s left", last,
                                samples.size(),
                                absl::ToDoubleSeconds(now - begin) * (1 - share) / share));
    }
  }
  base::LogInfo(fmt::format("cut {} samples of {} recordings in {} into frames: {:.1f} s",
                            samples.size(), sources.recordings.size(), sources.folder.string(),
                            absl::ToDoubleSeconds(clock.Steady() - begin)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> CutToMemory(const EventSources& sources, const FrameCut& cut,
                                                 const FramePainter& painter) {
  if (sources.samples.size() > kMemoryBytesMax / painter.bytes()) {
    return absl::ResourceExhaustedError(fmt::format(
        "{}: {} samples of {} bytes of frames each, which cannot be kept in a file there (allowed "
        "in memory: {} bytes in all)",
        sources.folder.string(), sources.samples.size(), painter.bytes(), kMemoryBytesMax));
  }
  std::vector<uint8_t> pixels;
  pixels.reserve(sources.samples.size() * painter.bytes());
  RETURN_IF_ERROR(CutAll(sources, cut, painter, [&](std::span<const uint8_t> next) {
    pixels.insert(pixels.end(), next.begin(), next.end());
    return absl::OkStatus();
  }));
  return pixels;
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

/// Cuts to the file at `path`. `written` says whether the file could be made; the status returned,
/// where it could, whether the recordings could be read.
absl::Status CutToFile(const EventSources& sources, const FrameCut& cut,
                       const FramePainter& painter, const fs::path& path, const std::string& key,
                       const std::vector<uint8_t>& labels, absl::Status& written) {
  const auto writer = KeptFramesWriter::Create(path, key, labels, painter.bytes());
  written = writer.status();
  if (!written.ok()) return absl::OkStatus();
  const absl::Status read = CutAll(sources, cut, painter, [&](std::span<const uint8_t> pixels) {
    return written = (*writer)->Add(pixels);
  });
  if (!written.ok()) return absl::OkStatus();
  RETURN_IF_ERROR(read);
  written = (*writer)->Finish();
  return absl::OkStatus();
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
  const size_t count = sources.samples.size();
  std::vector<uint8_t> labels;
  for (const EventSample& sample : sources.samples) labels.push_back(sample.label);
  absl::Status written = absl::AlreadyExistsError("");
  while (absl::IsAlreadyExists(written)) {
    std::error_code error;
    if (fs::exists(path, error)) {
      auto kept = KeptFrames::Open(path, key, count, painter.bytes());
      if (kept.ok()) return EventFrames(*std::move(kept));
      base::LogWarning(
          fmt::format("kept frames are made anew: {}", std::string(kept.status().message())));
    }
    RETURN_IF_ERROR(CutToFile(sources, cut, painter, path, key, labels, written));
  }
  if (written.ok()) {
    ASSIGN_OR_RETURN(KeptFrames kept, KeptFrames::Open(path, key, count, painter.bytes()));
    return EventFrames(std::move(kept));
  }
  base::LogWarning(
      fmt::format("frames are not kept, but held in memory: {}", std::string(written.message())));
  ASSIGN_OR_RETURN(std::vector<uint8_t> pixels, CutToMemory(sources, cut, painter));
  return EventFrames(std::move(labels), std::move(pixels));
}

absl::Status EventFrames::Read(int64_t index, std::span<uint8_t> out) const {
  if (kept_) return kept_->Read(index, out);
  const auto begin = pixels_.begin() + index * std::ssize(out);
  std::copy(begin, begin + std::ssize(out), out.begin());
  return absl::OkStatus();
}

}  // namespace bsnn::trainer
