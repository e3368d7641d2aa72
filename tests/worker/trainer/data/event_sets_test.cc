// Folders of event recordings: what is listed; and how planes are resized.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/trainer/data/event_folders.h"
#include "worker/trainer/data/events/event_sources.h"
#include "worker/trainer/data/events/plane_resizer.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

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
