// A checkpoint that is damaged is refused: every truncation of every file, and random damage.
// Every single flipped bit is in tests/libs/artifact. BSNN_MUTATIONS=100000 tries so many.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <random>

#include "artifact/checkpoint_folder.h"
#include "artifact/safetensors.h"
#include "base/file.h"
#include "tests/worker/support/temp_folder.h"

namespace bsnn::artifact {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles[] = {"manifest.json", "model.safetensors", "training.safetensors"};

class DamagedCheckpoint : public testing::Test {
 protected:
  void SetUp() override {
    const auto tensors = [](float value) {
      return [value](const ByteSink& sink) {
        const std::vector<float> values(12, value);
        return WriteSafetensors({{"conv.weight",
                                  TensorType::kF32,
                                  {3, 4},
                                  {reinterpret_cast<const char*>(values.data()), 48}}},
                                {{"format", "bsnn"}}, sink);
      };
    };
    const auto written = WriteCheckpointFolder(
        path_, {{"model.safetensors", tensors(1)}, {"training.safetensors", tensors(2)}},
        {"full", 1, 1, 0.5, "{}", {}});
    ASSERT_TRUE(written.ok()) << written.status();
    digest_ = written->digest;
    for (const char* name : kFiles) good_[name] = test::Read(path_ / name);
  }

  void Write(const std::string& name, const std::string& bytes) {
    fs::remove(path_ / name);  // some file systems sync a file that is written over
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }

  /// A damaged manifest may be another valid one: then its digest is another, and the digest is
  /// what a catalogue holds of a checkpoint.
  void ExpectRefused(const std::string& name) {
    const auto verified = VerifyCheckpointFolder(path_);
    if (verified.ok()) {
      EXPECT_EQ(name, "manifest.json");
      EXPECT_NE(verified->digest, digest_);
    } else {
      EXPECT_TRUE(absl::IsDataLoss(verified.status())) << verified.status();
    }
    // Whoever opens the file all the same is refused too, or reads tensors within it.
    if (name == "manifest.json") return;
    const auto file = SafetensorsFile::Open(path_ / name);
    if (!file.ok()) return;
    for (const TensorEntry& tensor : file->tensors()) {
      std::string bytes(std::min<uint64_t>(tensor.size_bytes(), 1 << 16), '\0');
      if (bytes.size() == tensor.size_bytes()) {
        EXPECT_TRUE(file->Read(tensor, {bytes.data(), bytes.size()}).ok());
      }
    }
  }

  test::TempFolder folder_;
  fs::path path_ = folder_ / "step-00000001";
  std::map<std::string, std::string> good_;
  std::string digest_;
};

TEST_F(DamagedCheckpoint, IsRefusedWhereverAFileIsCut) {
  for (const auto& [name, bytes] : good_) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      SCOPED_TRACE(name + " cut at " + std::to_string(size));
      Write(name, bytes.substr(0, size));
      ExpectRefused(name);
    }
    Write(name, bytes);
  }
}

/// Flips, cuts, repeats and large numbers, one to four of them.
std::string Mutate(std::string bytes, std::mt19937_64& dice) {
  for (uint64_t turn = dice() % 4 + 1; turn > 0 && !bytes.empty(); --turn) {
    const size_t at = dice() % bytes.size();
    switch (dice() % 5) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << dice() % 8));
        break;
      case 1:
        bytes.resize(at);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, dice() % 64));
        break;
      case 3:
        bytes.replace(at, std::min<size_t>(8, bytes.size() - at), 8, '\xFF');
        break;
      default:
        bytes.insert(at, "99999999999999999999");
    }
  }
  return bytes;
}

TEST_F(DamagedCheckpoint, IsRefusedWhateverTheDamageWithinBoundedMemory) {
  const char* const wanted = std::getenv("BSNN_MUTATIONS");
  const int64_t mutations = wanted == nullptr ? 3000 : std::atoll(wanted);
  std::mt19937_64 dice(7);
  struct rusage before = {};
  ::getrusage(RUSAGE_SELF, &before);
  for (int64_t i = 0; i < mutations && !HasFailure(); ++i) {
    const std::string name = kFiles[dice() % std::size(kFiles)];
    const std::string bad = Mutate(good_[name], dice);
    if (bad == good_[name]) continue;
    SCOPED_TRACE("mutation " + std::to_string(i) + " of " + name);
    Write(name, bad);
    ExpectRefused(name);
    Write(name, good_[name]);
  }
  struct rusage after = {};
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10) << "KiB";
}

}  // namespace
}  // namespace bsnn::artifact
