#include "worker/trainer/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "tests/worker/support/temp_folder.h"

namespace bsnn::trainer {
namespace {

using testing::HasSubstr;

std::string CifarFile(int records, char label) {
  std::string text;
  for (int i = 0; i < records; ++i) {
    text += label;
    for (const char plane : {'\x00', '\x80', '\xff'}) text += std::string(1024, plane);
  }
  return text;
}

spec::JobSpec Spec(spec::DataName name) {
  spec::JobSpec spec;
  spec.data.name = name;
  return spec;
}

TEST(Dataset, FindsCifarAsItsArchiveUnpacks) {
  for (const std::string inside :
       {"", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"}) {
    const test::TempFolder folder;
    std::filesystem::create_directories(folder / inside);
    for (int i = 1; i <= 5; ++i) {
      test::Append(folder / inside / ("data_batch_" + std::to_string(i) + ".bin"),
                   CifarFile(2, static_cast<char>(i)));
    }
    const auto data = OpenDataset(Spec(spec::DataName::kCifar10), folder.path(), Split::kTrain);
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ((*data)->size(), 10);
    EXPECT_EQ((*data)->labels()[9], 5);
    const auto test = OpenDataset(Spec(spec::DataName::kCifar10), folder.path(), Split::kTest);
    EXPECT_TRUE(absl::IsNotFound(test.status()));
    EXPECT_THAT(std::string(test.status().message()), HasSubstr("test_batch.bin"));
  }
}

TEST(Dataset, NormalisesByChannelAndChangesTrainingPicturesOnlyWhereAsked) {
  const test::TempFolder folder;
  test::Append(folder / "test_batch.bin", CifarFile(4, 1));
  const auto data = OpenDataset(Spec(spec::DataName::kCifar10), folder.path(), Split::kTest);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto picture = [&](const std::optional<EpochAugmentation>& change) {
    std::vector<float> values(3 * 1024);
    EXPECT_TRUE((*data)->Read(2, change ? &*change : nullptr, values).ok());
    return values;
  };
  const std::vector<float> plain = picture({});
  EXPECT_NEAR(plain[5], (0 - 0.4914) / 0.2023, 1e-5);
  EXPECT_NEAR(plain[1024 + 5], (128.0 / 255 - 0.4822) / 0.1994, 1e-5);
  EXPECT_NEAR(plain[2048 + 5], (1 - 0.4465) / 0.2010, 1e-5);
  EXPECT_EQ(picture(EpochAugmentation{}), plain) << "a spec that changes nothing";
  const EpochAugmentation cut{.spec = {.cutout = 8}, .seed = 1, .epoch = 0};
  EXPECT_NE(picture(cut), plain);
  EXPECT_EQ(picture(cut), picture(cut));
}

TEST(Dataset, GivesFramesTimeOutermostAndChangesThemAlike) {
  const test::TempFolder folder;
  // Each with one event in each of two frames.
  const auto write = [&](const std::string& name, char x) {
    std::filesystem::create_directories((folder / name).parent_path());
    test::Append(folder / name,
                 std::string{x, 5, '\x00', 0, 1, static_cast<char>(x + 1), 5, '\x80', 0, 9});
  };
  for (int i = 0; i < 10; ++i) {
    std::filesystem::create_directories(folder / ("Train/" + std::to_string(i)));
  }
  write("Train/0/00001.bin", 10);
  write("Train/1/00002.bin", 20);
  spec::JobSpec spec = Spec(spec::DataName::kNMnist);
  EXPECT_EQ(spec.network.time_steps, 2);
  const auto data = OpenDataset(spec, folder.path(), Split::kTrain);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->shape().frames, 2);
  EXPECT_THAT((*data)->labels(), testing::ElementsAre(0, 1));
  constexpr size_t kPlane = size_t{34} * 34;
  const auto read = [&](const EpochAugmentation* change) {
    std::vector<float> values(2 * 2 * kPlane);
    EXPECT_TRUE((*data)->Read(1, change, values).ok());
    return values;
  };
  // [frame][polarity][y][x]; counts are taken as they are.
  std::vector<float> expected(2 * 2 * kPlane);
  expected[0 * kPlane + 5 * 34 + 20] = 1;
  expected[3 * kPlane + 5 * 34 + 21] = 1;
  EXPECT_EQ(read(nullptr), expected);
  std::set<int64_t> distances, columns;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const EpochAugmentation change{{.crop_padding = 3, .flip = true, .roll = 2}, 1, epoch};
    const std::vector<float> values = read(&change);
    const auto place = [&](size_t plane) {
      const auto begin = values.begin() + static_cast<ptrdiff_t>(plane * kPlane);
      return std::max_element(begin, begin + kPlane) - begin;
    };
    distances.insert(place(3) - place(0));
    columns.insert(place(0) % 34);
  }
  EXPECT_GT(columns.size(), 5u);
  EXPECT_THAT(distances, testing::ElementsAre(-1, 1)) << "both frames by the same shift and flip";
}

TEST(Dataset, LimitsTakeTheFirstPictures) {
  spec::JobSpec spec = Spec(spec::DataName::kGenerated);
  spec.data.train_limit = 7;
  const auto seven = OpenDataset(spec, "", Split::kTrain);
  spec.data.train_limit = 9;
  const auto nine = OpenDataset(spec, "", Split::kTrain);
  ASSERT_EQ((*seven)->size(), 7);
  ASSERT_EQ((*nine)->size(), 9);
  for (int64_t i = 0; i < 7; ++i) {
    std::vector<float> one(784), other(784);
    EXPECT_TRUE((*seven)->Read(i, nullptr, one).ok());
    EXPECT_TRUE((*nine)->Read(i, nullptr, other).ok());
    EXPECT_EQ(one, other);
  }
}

}  // namespace
}  // namespace bsnn::trainer
