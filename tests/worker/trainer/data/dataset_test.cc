#include "worker/trainer/data/dataset.h"

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

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
  for (const std::string inside : {"", "cifar10", "cifar-10-batches-bin"}) {
    const test::TempFolder folder;
    std::filesystem::create_directories(folder / inside);
    for (int i = 1; i <= 5; ++i) {
      test::Append(folder / inside / ("data_batch_" + std::to_string(i) + ".bin"),
                   CifarFile(2, static_cast<char>(i)));
    }
    const auto data = LoadDataset(Spec(spec::DataName::kCifar10), folder.path(), Split::kTrain);
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(data->size(), 10);
    EXPECT_EQ(data->labels[9], 5);
    const auto test = LoadDataset(Spec(spec::DataName::kCifar10), folder.path(), Split::kTest);
    EXPECT_TRUE(absl::IsNotFound(test.status()));
    EXPECT_THAT(std::string(test.status().message()), HasSubstr("test_batch.bin"));
  }
}

TEST(Dataset, NormalisesByChannelAndChangesTrainingPicturesOnlyWhereAsked) {
  const test::TempFolder folder;
  test::Append(folder / "test_batch.bin", CifarFile(4, 1));
  const auto data = LoadDataset(Spec(spec::DataName::kCifar10), folder.path(), Split::kTest);
  ASSERT_TRUE(data.ok()) << data.status();
  const std::vector<int64_t> order = {3, 0, 1, 2};
  const Batch batch = MakeBatch(*data, order, 0, 2);
  EXPECT_THAT(batch.images.sizes(), testing::ElementsAre(2, 3, 32, 32));
  EXPECT_NEAR(batch.images[1][0][5][5].item<float>(), (0 - 0.4914) / 0.2023, 1e-5);
  EXPECT_NEAR(batch.images[1][1][5][5].item<float>(), (128.0 / 255 - 0.4822) / 0.1994, 1e-5);
  EXPECT_NEAR(batch.images[1][2][5][5].item<float>(), (1 - 0.4465) / 0.2010, 1e-5);
  const EpochAugmentation cut{.spec = {.cutout = 8}, .seed = 1, .epoch = 0};
  const Batch changed = MakeBatch(*data, order, 0, 2, cut);
  EXPECT_FALSE(at::equal(changed.images, batch.images));
  EXPECT_TRUE(at::equal(changed.images[1], MakeBatch(*data, order, 1, 2, cut).images[0]))
      << "a picture is changed the same in any batch";
}

TEST(Dataset, LimitsTakeTheFirstPictures) {
  spec::DataSpec spec = Spec(spec::DataName::kGenerated);
  spec.train_limit = 7;
  const auto seven = LoadDataset(spec, "", Split::kTrain);
  spec.train_limit = 9;
  const auto nine = LoadDataset(spec, "", Split::kTrain);
  ASSERT_EQ(seven->size(), 7);
  ASSERT_EQ(nine->size(), 9);
  EXPECT_TRUE(std::equal(seven->pixels.begin(), seven->pixels.end(), nine->pixels.begin()));
}

TEST(EpochOrder, IsAPermutationDrawnFromSeedAndEpoch) {
  auto order = EpochOrder(1000, 1, 0);
  EXPECT_EQ(order, EpochOrder(1000, 1, 0));
  EXPECT_NE(order, EpochOrder(1000, 1, 1));
  EXPECT_NE(order, EpochOrder(1000, 2, 0));
  std::sort(order.begin(), order.end());
  std::vector<int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(order, all);
}

}  // namespace
}  // namespace bsnn::trainer
