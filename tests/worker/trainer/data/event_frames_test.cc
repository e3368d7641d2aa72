#include "worker/trainer/data/events/event_frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <set>
#include <thread>

#include "tests/worker/trainer/data/event_folders.h"

namespace bsnn::trainer {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<uint8_t> PixelsOf(const EventFrames& frames, int64_t steps, int64_t side) {
  const auto bytes = static_cast<size_t>(steps * 2 * side * side);
  std::vector<uint8_t> pixels(frames.labels().size() * bytes);
  for (size_t i = 0; i < frames.labels().size(); ++i) {
    const absl::Status read =
        frames.Read(static_cast<int64_t>(i), std::span(pixels).subspan(i * bytes, bytes));
    EXPECT_TRUE(read.ok()) << read;
  }
  return pixels;
}

TEST(EventFrames, CountsByNumberAtEachPixelAndPolarity) {
  const test::TempFolder folder;
  WriteNMnist(folder.path());
  const auto frames = LoadEventFrames(Spec(spec::DataName::kNMnist), 2, folder.path(), false);
  ASSERT_TRUE(frames.ok()) << frames.status();
  EXPECT_THAT(frames->labels(), ElementsAre(3));
  const std::vector<uint8_t> pixels = PixelsOf(*frames, 2, 34);
  // Digit 3 has 5 events: two, and three of which the last is at (33, 33).
  std::vector<uint8_t> expected(pixels.size());
  expected[1 * 34 * 34 + 2 * 34 + 3] = 2;
  expected[3 * 34 * 34 + 2 * 34 + 3] = 2;
  expected[3 * 34 * 34 + 33 * 34 + 33] = 1;
  EXPECT_EQ(pixels, expected);
}

TEST(EventFrames, DividesByTheLargestCountAndResizes) {
  const test::TempFolder folder;
  WriteNMnist(folder.path());
  spec::DataSpec spec = Spec(spec::DataName::kNMnist);
  spec.frame_values = spec::FrameValues::kShareOfMax;
  const auto whole = LoadEventFrames(spec, 2, folder.path(), false);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const std::vector<uint8_t> pixels = PixelsOf(*whole, 2, 34);
  EXPECT_EQ(pixels[3 * 34 * 34 + 2 * 34 + 3], 255);
  EXPECT_EQ(pixels[3 * 34 * 34 + 33 * 34 + 33], 127) << "255 * 1 / 2, rounded down";
  spec.frame_side = 17;
  const auto half = LoadEventFrames(spec, 2, folder.path(), false);
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_THAT(PixelsOf(*half, 2, 17), testing::Contains(testing::Gt(0)));
}

TEST(EventFrames, SaturateAndAreZeroWhereTheRecordingHasNoMore) {
  const test::TempFolder folder;
  WriteNMnist(folder.path());
  std::string content;
  for (uint32_t i = 0; i < 300; ++i) content += AtisEvent(0, 0, 1, 7);
  Write(folder / "Test/3/00006.bin", content);
  spec::DataSpec spec = Spec(spec::DataName::kNMnist);
  spec.frames_by = spec::FramesBy::kDuration;
  const auto frames = LoadEventFrames(spec, 3, folder.path(), false);
  ASSERT_TRUE(frames.ok()) << frames.status();
  const std::vector<uint8_t> pixels = PixelsOf(*frames, 3, 34);
  EXPECT_EQ(pixels[34 * 34], 255);
  const std::vector<uint8_t> rest(pixels.begin() + 2 * 34 * 34, pixels.end());
  EXPECT_THAT(rest, Each(0)) << "one frame of 50 ms, and two with nothing";
}

TEST(EventFrames, CutGesturesByTheirPieces) {
  const test::TempFolder folder;
  std::string events, labels = "class,startTime_usec,endTime_usec\n";
  for (uint32_t i = 0; i < 40; ++i) {
    events += Little(i << 17 | 5 << 2 | 1) + Little(i);  // at time i, pixel (i, 5), polarity 0
    labels += "2," + std::to_string(i) + "," + std::to_string(i + 2) + "\n";  // they overlap
  }
  Write(folder / "trials_to_train.txt", "a.aedat\n");
  Write(folder / "a_labels.csv", labels);
  Write(folder / "a.aedat", "#!AER-DAT3.1\r\n#!END-HEADER\r\n" + Little(1) + Little(8) + Little(4) +
                                Little(0) + Little(40) + Little(40) + Little(40) + events);
  const auto frames = LoadEventFrames(Spec(spec::DataName::kDvsGesture), 2, folder.path(), true);
  ASSERT_TRUE(frames.ok()) << frames.status();
  ASSERT_EQ(frames->labels().size(), 40u);
  EXPECT_THAT(frames->labels(), Each(1));
  const std::vector<uint8_t> pixels = PixelsOf(*frames, 2, 128);
  const size_t plane = 128 * 128;
  for (size_t i = 0; i < 39; ++i) {  // the last piece has one event
    EXPECT_EQ(pixels[(i * 4 + 0) * plane + 5 * 128 + i], 1) << i;
    EXPECT_EQ(pixels[(i * 4 + 2) * plane + 5 * 128 + i + 1], 1) << i;
  }
}

TEST(EventFrames, NameTheRecordingAndOffsetOfAFault) {
  const test::TempFolder folder;
  WriteNMnist(folder.path());
  Write(folder / "Train/4/00005.bin", AtisEvent(1, 1, 1, 0) + AtisEvent(50, 1, 1, 0));
  const auto frames = LoadEventFrames(Spec(spec::DataName::kNMnist), 2, folder.path(), true);
  EXPECT_TRUE(absl::IsDataLoss(frames.status()));
  EXPECT_THAT(std::string(frames.status().message()),
              HasSubstr("Train/4/00005.bin: offset 5: pixel is (50, 1)"));
  EXPECT_TRUE(std::filesystem::is_empty(folder / "bsnn-frames")) << "nothing of it is kept";
}

class KeptFramesTest : public testing::Test {
 protected:
  KeptFramesTest() { WriteNMnist(folder_.path()); }

  struct Loaded {
    std::vector<uint8_t> labels, pixels;
  };
  Loaded Load(int64_t steps = 2) {
    const auto frames = LoadEventFrames(spec_, steps, folder_.path(), true);
    EXPECT_TRUE(frames.ok()) << frames.status();
    const int64_t side = spec_.frame_side == 0 ? 34 : spec_.frame_side;
    return {frames->labels(), PixelsOf(*frames, steps, side)};
  }
  std::set<std::filesystem::path> Files() const {
    std::set<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "bsnn-frames")) {
      files.insert(entry.path());
    }
    return files;
  }

  const test::TempFolder folder_;
  spec::DataSpec spec_ = Spec(spec::DataName::kNMnist);
};

TEST_F(KeptFramesTest, AreUsedAgainWithoutReadingARecording) {
  const Loaded made = Load();
  ASSERT_EQ(Files().size(), 1u);
  const auto before = std::filesystem::last_write_time(*Files().begin());
  // Another content under the same name, size and time: seen only by who reads it.
  const auto path = folder_ / "Train/0/00009.bin";
  const auto time = std::filesystem::last_write_time(path);
  std::string content = test::Read(path);
  content[0] = 20;
  Write(path, content);
  std::filesystem::last_write_time(path, time);
  EXPECT_EQ(Load().pixels, made.pixels);
  EXPECT_EQ(std::filesystem::last_write_time(*Files().begin()), before);
}

TEST_F(KeptFramesTest, AreMadeAnewForOtherFieldsOrOtherRecordings) {
  const Loaded made = Load();
  Load(3);
  spec_.frames_by = spec::FramesBy::kTime;
  EXPECT_NE(Load().pixels, made.pixels);
  spec_.frame_values = spec::FrameValues::kShareOfMax;
  Load();
  spec_.frame_side = 20;
  Load();
  spec_.frame_side = 0;
  spec_.frames_by = spec::FramesBy::kDuration;
  Load();
  spec_.frame_duration_us = 10;
  Load();
  spec_ = Spec(spec::DataName::kNMnist);
  spec_.train_limit = 9;
  EXPECT_EQ(Load().labels.size(), 9u);
  EXPECT_EQ(Files().size(), 8u);
  test::Append(folder_ / "Train/0/00009.bin", AtisEvent(1, 1, 1, 2000));
  spec_.train_limit = 0;
  EXPECT_NE(Load().pixels, made.pixels);
  EXPECT_EQ(Files().size(), 9u);
}

TEST_F(KeptFramesTest, AreMadeAnewWhereDamaged) {
  const Loaded made = Load();
  const auto path = *Files().begin();
  const std::string good = test::Read(path);
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 4);
  for (const std::string& damaged :
       {flipped, good.substr(0, good.size() - 1), good + "x", good.substr(0, 5), std::string(),
        std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}")}) {
    Write(path, damaged);
    EXPECT_EQ(Load().pixels, made.pixels);
    EXPECT_EQ(test::Read(path), good) << "written anew";
  }
  EXPECT_THAT(Files(), ElementsAre(path)) << "no leftovers";
}

TEST_F(KeptFramesTest, AreOnlyAWarningWhereTheFolderCannotBeWritten) {
  const Loaded made = Load();
  std::filesystem::remove_all(folder_ / "bsnn-frames");
  Write(folder_ / "bsnn-frames", "a file where the folder would be");
  const Loaded held = Load();
  EXPECT_EQ(held.labels, made.labels);
  EXPECT_EQ(held.pixels, made.pixels);
}

TEST_F(KeptFramesTest, AreHeldInMemoryWhereTheDiskIsFull) {
  const Loaded made = Load();
  std::filesystem::remove(*Files().begin());
  struct rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small = {.rlim_cur = 20000, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Loaded held = Load();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(held.pixels, made.pixels);
  EXPECT_TRUE(Files().empty()) << "no leftovers";
}

TEST_F(KeptFramesTest, AreMadeOnceWhereManyStartAtOnce) {
  std::vector<Loaded> loaded(4);
  std::vector<std::thread> jobs;
  for (Loaded& one : loaded) jobs.emplace_back([&] { one = Load(); });
  for (std::thread& job : jobs) job.join();
  for (const Loaded& one : loaded) EXPECT_EQ(one.pixels, loaded[0].pixels);
  EXPECT_EQ(Files().size(), 1u) << "no leftovers";
}

TEST_F(KeptFramesTest, TakeOverWhatAKilledProcessLeft) {
  const Loaded made = Load();
  const auto path = *Files().begin();
  std::filesystem::rename(path, path.string() + ".tmp");
  test::Append(path.string() + ".tmp", "more");
  EXPECT_EQ(Load().pixels, made.pixels);
  EXPECT_THAT(Files(), ElementsAre(path));
}

TEST_F(KeptFramesTest, SayWhereTheFileHasShrunkUnderARun) {
  const auto frames = LoadEventFrames(spec_, 2, folder_.path(), true);
  ASSERT_TRUE(frames.ok()) << frames.status();
  const auto path = *Files().begin();
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  std::vector<uint8_t> sample(2 * 2 * 34 * 34);
  EXPECT_TRUE(frames->Read(0, sample).ok());
  const absl::Status status = frames->Read(9, sample);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(path.string()));
}

}  // namespace
}  // namespace bsnn::trainer
