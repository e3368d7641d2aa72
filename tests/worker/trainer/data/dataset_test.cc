#include "worker/trainer/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

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

spec::DataSpec Spec(spec::DataName name) {
  spec::DataSpec spec;
  spec.name = name;
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

TEST(Dataset, LimitsTakeTheFirstPictures) {
  spec::DataSpec spec = Spec(spec::DataName::kGenerated);
  spec.train_limit = 7;
  const auto seven = OpenDataset(spec, "", Split::kTrain);
  spec.train_limit = 9;
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
