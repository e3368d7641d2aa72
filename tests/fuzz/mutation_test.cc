// Damages inputs that are accepted, in ways files and lines are damaged, and sees that every reader
// answers with a status.
#include <gtest/gtest.h>

#include <random>

#include "tests/fuzz/readers.h"

namespace bsnn::fuzz {
namespace {

constexpr int kMutationsPerReader = 20'000;

std::string Mutate(std::string text, const std::string& other, std::mt19937_64& random) {
  static const std::string kTokens[] = {"-1",   "1e999", "NaN",     "null",
                                        "[]",   "{}",    "\"\"",    "\"..\"",
                                        "true", "\xff",  "\\u0000", "18446744073709551616",
                                        ",",    "}",     "{\"a\":", "9223372036854775807"};
  const auto pick = [&](size_t size) { return size == 0 ? 0 : random() % size; };
  const int rounds = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < rounds; ++i) {
    const size_t at = pick(text.size());
    switch (random() % 7) {
      case 0:  // a bit turns over
        if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << (random() % 8)));
        break;
      case 1:  // cut short
        text.resize(at);
        break;
      case 2:  // something is missing
        text.erase(at, 1 + pick(16));
        break;
      case 3:  // something is there twice
        text.insert(at, text.substr(pick(text.size()), 1 + pick(64)));
        break;
      case 4:
        text.insert(at, kTokens[pick(std::size(kTokens))]);
        break;
      case 5: {  // a number becomes another
        const size_t digit = text.find_first_of("0123456789", at);
        if (digit != std::string::npos) {
          const size_t end = text.find_first_not_of("0123456789.e-", digit);
          text.replace(digit, end == std::string::npos ? end : end - digit,
                       kTokens[pick(std::size(kTokens))]);
        }
        break;
      }
      default:  // pieces of two inputs
        text = text.substr(0, at) + other.substr(pick(other.size()));
    }
  }
  return text;
}

class ReadersFromOutside : public testing::TestWithParam<Reader> {};

TEST_P(ReadersFromOutside, TakeTheirSeedsAndSurviveDamage) {
  const Reader& reader = GetParam();
  for (const std::string& seed : reader.seeds) EXPECT_TRUE(reader.read(seed)) << seed;
  std::mt19937_64 random(1);
  int refused = 0;
  for (int i = 0; i < kMutationsPerReader; ++i) {
    const auto& seed = reader.seeds[random() % reader.seeds.size()];
    const auto& other = reader.seeds[random() % reader.seeds.size()];
    refused += reader.read(Mutate(seed, other, random)) ? 0 : 1;
  }
  EXPECT_GT(refused, reader.refused_min * kMutationsPerReader);
}

TEST_P(ReadersFromOutside, SurviveDepthAndLength) {
  const Reader& reader = GetParam();
  for (const char* open : {"[", "{\"a\":", "\""}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += open;
    EXPECT_FALSE(reader.read(deep));
  }
  EXPECT_FALSE(reader.read(std::string(8 << 20, ' ')));
  EXPECT_FALSE(reader.read(""));
}

INSTANTIATE_TEST_SUITE_P(All, ReadersFromOutside, testing::ValuesIn(Readers()),
                         [](const auto& suite) { return suite.param.name; });

}  // namespace
}  // namespace bsnn::fuzz
