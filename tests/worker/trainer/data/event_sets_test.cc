// Folders of event recordings: what is listed, cut, resized and kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "tests/worker/support/temp_folder.h"
#include "tests/worker/trainer/data/event_bytes.h"
#include "worker/trainer/data/events/event_frames.h"
#include "worker/trainer/data/events/event_sources.h"
#include "worker/trainer/data/events/plane_resizer.h"

namespace bsnn::trainer {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

void Write(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::filesystem::remove(path);
  test::Append(path, content);
}

spec::DataSpec Spec(spec::DataName name) {
  spec::DataSpec spec;
  spec.name = name;
  return spec;
}

/// Each digit once in Train, and digit 3 in Test. The recording of digit d has d + 1 events at
/// (d, 2) in its first half and one at (33, 33) at its end.
void WriteNMnist(const std::filesystem::path& folder) {
  for (int digit = 0; digit < 10; ++digit) {
    std::string content;
    for (int i = 0; i <= digit; ++i) content += AtisEvent(digit, 2, 1, static_cast<uint32_t>(i));
    content += AtisEvent(33, 33, 1, 1000);
    const std::string name = std::to_string(digit) + "/0000" + std::to_string(9 - digit) + ".bin";
    Write(folder / "Train" / name, content);
    std::filesystem::create_directories(folder / "Test" / std::to_string(digit));
    if (digit == 3) Write(folder / "Test" / name, content);
  }
}

/// Numbers of the recordings of one class in the order of the samples.
std::vector<int> NumbersOf(const EventSources& sources, uint8_t label) {
  std::vector<int> numbers;
  for (const EventSample& sample : sources.samples) {
    if (sample.label != label) continue;
    const std::string stem = sources.recordings[sample.recording].stem().string();
    numbers.push_back(std::stoi(stem.substr(stem.rfind('_') + 1)));
  }
  return numbers;
}

TEST(EventSources, NMnistIsInTheOrderOfItsNames) {
  for (const char* inside : {"", "n_mnist", "N-MNIST"}) {
    const test::TempFolder folder;
    WriteNMnist(folder / inside);
    const auto sources = ListEventSources(Spec(spec::DataName::kNMnist), folder.path(), true);
    ASSERT_TRUE(sources.ok()) << sources.status();
    std::vector<int> labels;
    for (const EventSample& sample : sources->samples) labels.push_back(sample.label);
    EXPECT_THAT(labels, ElementsAre(9, 8, 7, 6, 5, 4, 3, 2, 1, 0)) << "names count down";
    const auto test = ListEventSources(Spec(spec::DataName::kNMnist), folder.path(), false);
    ASSERT_TRUE(test.ok()) << test.status();
    EXPECT_THAT(test->recordings, ElementsAre("Test/3/00006.bin"));
  }
}

TEST(EventSources, NamesWhatIsMissing) {
  const test::TempFolder folder;
  const auto message = [&](spec::DataName name) {
    const auto status = ListEventSources(Spec(name), folder.path(), true).status();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message(spec::DataName::kNMnist), HasSubstr("Train/0"));
  EXPECT_THAT(message(spec::DataName::kCifar10Dvs), HasSubstr("/airplane"));
  EXPECT_THAT(message(spec::DataName::kDvsGesture), HasSubstr("trials_to_train.txt"));
  for (int i = 0; i < 10; ++i) {
    std::filesystem::create_directories(folder / "Train" / std::to_string(i));
  }
  EXPECT_THAT(message(spec::DataName::kNMnist), HasSubstr("no Train/<digit>/*.bin in"));
}

TEST(EventSources, Cifar10DvsHasThreeSplits) {
  const test::TempFolder folder;
  // Of each class 0 to 10, and 99 to 101; other files are none.
  const std::vector<int> all = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99, 100, 101};
  for (const std::string name :
       {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}) {
    for (const int i : all) {
      Write(folder / name / ("cifar10_" + name + "_" + std::to_string(i) + ".aedat"), "");
    }
    for (const char* other : {"_x.aedat", "_1.mat", "_.aedat", "_1.aedat.aedat", "_-1.aedat"}) {
      Write(folder / name / ("cifar10_" + name + other), "");
    }
  }
  const auto numbers = [&](spec::DvsSplit split, bool train, uint8_t label = 9) {
    spec::DataSpec spec = Spec(spec::DataName::kCifar10Dvs);
    spec.split = split;
    const auto sources = ListEventSources(spec, folder.path(), train);
    EXPECT_TRUE(sources.ok()) << sources.status();
    return NumbersOf(*sources, label);
  };
  // By name, as SpikingJelly sorts them; ceil(0.9 * 14) = 13.
  EXPECT_THAT(numbers(spec::DvsSplit::kFirst90, true),
              ElementsAre(0, 1, 10, 100, 101, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(numbers(spec::DvsSplit::kFirst90, false), ElementsAre(99));
  EXPECT_THAT(numbers(spec::DvsSplit::kFrom100, true), ElementsAre(100, 101));
  EXPECT_THAT(numbers(spec::DvsSplit::kFrom100, false, 0),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99));
  // ceil(0.7 * 14) = 10.
  EXPECT_THAT(numbers(spec::DvsSplit::kFirst70, true), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(numbers(spec::DvsSplit::kFirst70, false), ElementsAre(10, 99, 100, 101));

  spec::DataSpec spec = Spec(spec::DataName::kCifar10Dvs);
  spec.train_limit = 20;
  const auto limited = ListEventSources(spec, folder.path(), true);
  ASSERT_TRUE(limited.ok());
  EXPECT_EQ(limited->recordings.size(), 20u);
  for (uint8_t label = 0; label < 10; ++label) {
    EXPECT_EQ(NumbersOf(*limited, label).size(), 2u) << "a limit takes as many of each class";
  }
}

TEST(EventSources, GesturesAreThePiecesOfTheListedRecordings) {
  const test::TempFolder folder;
  const auto at = [&](const char* name) { return folder / "DvsGesture" / name; };
  Write(at("trials_to_train.txt"), "user01_led.aedat\r\nuser02_lab.aedat\n\n");
  Write(at("user01_led_labels.csv"), "class,startTime_usec,endTime_usec\n1,5,9\n11,7,20\n");
  Write(at("user02_lab_labels.csv"), "class,startTime_usec,endTime_usec\n3,1,2\n");
  spec::DataSpec spec = Spec(spec::DataName::kDvsGesture);
  const auto sources = ListEventSources(spec, folder.path(), true);
  ASSERT_TRUE(sources.ok()) << sources.status();
  EXPECT_THAT(sources->recordings, ElementsAre("user01_led.aedat", "user02_lab.aedat"));
  ASSERT_EQ(sources->samples.size(), 3u);
  EXPECT_EQ(sources->samples[1].label, 10);
  EXPECT_EQ(sources->samples[1].start, 7);
  EXPECT_EQ(sources->samples[2].recording, 1u);
  spec.train_limit = 2;
  EXPECT_EQ(ListEventSources(spec, folder.path(), true)->recordings.size(), 1u);

  const auto fault = [&] {
    const auto status = ListEventSources(spec, folder.path(), true).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    return std::string(status.message());
  };
  Write(at("user02_lab_labels.csv"), "class,startTime_usec,endTime_usec\n12,1,2\n");
  EXPECT_THAT(fault(), HasSubstr("user02_lab_labels.csv: offset 34: class is '12'"));
  Write(at("trials_to_train.txt"), "a.aedat\n../../etc/x.aedat\n");
  Write(at("a_labels.csv"), "class,startTime_usec,endTime_usec\n1,5,9\n");
  EXPECT_THAT(fault(), HasSubstr("trials_to_train.txt: offset 8: recording is '../../etc/x.aedat"));
  Write(at("trials_to_train.txt"), "\n");
  EXPECT_THAT(fault(), HasSubstr("no recording"));
}

TEST(EventFrames, CountsByNumberAtEachPixelAndPolarity) {
  const test::TempFolder folder;
  WriteNMnist(folder.path());
  const auto frames = LoadEventFrames(Spec(spec::DataName::kNMnist), 2, folder.path(), false);
  ASSERT_TRUE(frames.ok()) << frames.status();
  EXPECT_THAT(frames->labels, ElementsAre(3));
  ASSERT_EQ(frames->pixels.size(), size_t{2 * 2 * 34 * 34});
  // Digit 3 has 5 events: two, and three of which the last is at (33, 33).
  std::vector<uint8_t> expected(frames->pixels.size());
  expected[1 * 34 * 34 + 2 * 34 + 3] = 2;
  expected[3 * 34 * 34 + 2 * 34 + 3] = 2;
  expected[3 * 34 * 34 + 33 * 34 + 33] = 1;
  EXPECT_EQ(frames->pixels, expected);
}

TEST(EventFrames, DividesByTheLargestCountAndResizes) {
  const test::TempFolder folder;
  WriteNMnist(folder.path());
  spec::DataSpec spec = Spec(spec::DataName::kNMnist);
  spec.frame_values = spec::FrameValues::kShareOfMax;
  const auto whole = LoadEventFrames(spec, 2, folder.path(), false);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->pixels[3 * 34 * 34 + 2 * 34 + 3], 255);
  EXPECT_EQ(whole->pixels[3 * 34 * 34 + 33 * 34 + 33], 127) << "255 * 1 / 2, rounded down";
  spec.frame_side = 17;
  const auto half = LoadEventFrames(spec, 2, folder.path(), false);
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_EQ(half->pixels.size(), size_t{2 * 2 * 17 * 17});
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
  EXPECT_EQ(frames->pixels[34 * 34], 255);
  const std::vector<uint8_t> rest(frames->pixels.begin() + 2 * 34 * 34, frames->pixels.end());
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
  ASSERT_EQ(frames->labels.size(), 40u);
  EXPECT_THAT(frames->labels, Each(1));
  const size_t plane = 128 * 128;
  for (size_t i = 0; i < 39; ++i) {  // the last piece has one event
    EXPECT_EQ(frames->pixels[(i * 4 + 0) * plane + 5 * 128 + i], 1) << i;
    EXPECT_EQ(frames->pixels[(i * 4 + 2) * plane + 5 * 128 + i + 1], 1) << i;
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
  EXPECT_FALSE(std::filesystem::exists(folder / "bsnn-frames")) << "nothing of it is kept";
}

class KeptFrames : public testing::Test {
 protected:
  KeptFrames() { WriteNMnist(folder_.path()); }

  EventFrames Load(int64_t steps = 2) {
    auto frames = LoadEventFrames(spec_, steps, folder_.path(), true);
    EXPECT_TRUE(frames.ok()) << frames.status();
    return *std::move(frames);
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

TEST_F(KeptFrames, AreUsedAgainWithoutReadingARecording) {
  const EventFrames made = Load();
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

TEST_F(KeptFrames, AreMadeAnewForOtherFieldsOrOtherRecordings) {
  const EventFrames made = Load();
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

TEST_F(KeptFrames, AreMadeAnewWhereDamaged) {
  const EventFrames made = Load();
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

TEST_F(KeptFrames, AreOnlyAWarningWhereTheFolderCannotBeWritten) {
  Write(folder_ / "bsnn-frames", "a file where the folder would be");
  EXPECT_EQ(Load().labels.size(), 10u);
}

TEST(PlaneResizer, GivesPillowsBytes) {
  // numpy.random.RandomState(3).randint(0, 256, (7, 7)), resized by Pillow 13.0.0, BILINEAR.
  const std::vector<uint8_t> in = {106, 23,  1,   141, 152, 6,   27,  18,  249, 44,  73,  181, 131,
                                   230, 6,   215, 184, 187, 120, 74,  200, 99,  15,  31,  0,   153,
                                   197, 130, 21,  99,  190, 145, 253, 43,  152, 228, 147, 74,  227,
                                   111, 202, 118, 115, 229, 107, 171, 204, 4,   249};
  const std::vector<uint8_t> to_3 = {99, 115, 120, 89, 118, 147, 146, 161, 141};
  const std::vector<uint8_t> to_5 = {84,  52,  108, 111, 79,  84,  170, 135, 126, 175, 68,  79, 84,
                                     157, 147, 115, 130, 175, 156, 129, 169, 143, 169, 127, 160};
  const std::vector<uint8_t> to_10 = {
      106, 60,  18,  2,   92,  145, 145, 43,  15,  27,  58,  107, 117, 31,  76,  126, 164,
      99,  104, 139, 15,  139, 200, 87,  94,  124, 164, 130, 165, 223, 7,   122, 207, 179,
      180, 161, 121, 89,  133, 201, 66,  77,  85,  85,  72,  92,  142, 151, 154, 154, 72,
      57,  55,  84,  63,  99,  186, 155, 141, 138, 31,  70,  122, 180, 162, 183, 237, 100,
      96,  150, 176, 153, 127, 105, 170, 185, 148, 158, 146, 127, 177, 181, 161, 94,  162,
      185, 151, 123, 141, 177, 115, 178, 199, 113, 149, 183, 194, 54,  114, 249};
  for (const auto& [side, expected] :
       {std::pair(3, to_3), std::pair(5, to_5), std::pair(10, to_10), std::pair(7, in)}) {
    std::vector<uint8_t> out(expected.size());
    PlaneResizer(7, side).Run(in, out);
    EXPECT_THAT(out, ElementsAreArray(expected)) << side;
  }
}

}  // namespace
}  // namespace bsnn::trainer
