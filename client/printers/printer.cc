#include "client/printers/printer.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

namespace bsnn::client {
namespace {

using Json = nlohmann::ordered_json;

void Emit(const Json& json, YAML::Emitter& out) {
  if (json.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, value] : json.items()) {
      out << YAML::Key << key << YAML::Value;
      Emit(value, out);
    }
    out << YAML::EndMap;
  } else if (json.is_array()) {
    out << YAML::BeginSeq;
    for (const Json& value : json) Emit(value, out);
    out << YAML::EndSeq;
  } else if (json.is_string()) {
    out << YAML::DoubleQuoted << json.get<std::string>() << YAML::Auto;
  } else {
    out << json.dump();
  }
}

/// The character of UTF-8 at the beginning of `text`, and how many bytes it has; a byte that begins
/// none stands for itself, as not valid.
struct Character {
  uint32_t code = 0;
  size_t bytes = 1;
  bool is_valid = false;
};

Character FirstCharacter(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {first, 1, true};
  const size_t bytes = first >= 0xF0 && first < 0xF5 ? 4
                       : first >= 0xE0               ? 3
                       : first >= 0xC2               ? 2
                                                     : 0;
  if (bytes == 0 || first >= 0xF5 || text.size() < bytes) return {first, 1, false};
  uint32_t code = first & (0x7FU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xC0) != 0x80) return {first, 1, false};
    code = code << 6 | (byte & 0x3FU);
  }
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_valid =
      code >= kSmallest.at(bytes) && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  return is_valid ? Character{code, bytes, true} : Character{first, 1, false};
}

/// Replaces what a terminal would obey: see Printable. `byte_format` writes a code below 256.
std::string EscapeControls(std::string_view text, bool keeps_lines, const char* byte_format) {
  std::string safe;
  while (!text.empty()) {
    const auto [code, bytes, is_valid] = FirstCharacter(text);
    const bool is_control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    const bool is_direction =
        (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
    if (is_valid && keeps_lines && (code == '\n' || code == '\t')) {
      safe += text[0];
    } else if (is_valid && code == '\n') {
      safe += "\\n";
    } else if (is_valid && code == '\t') {
      safe += "\\t";
    } else if (!is_valid || is_control) {
      safe += fmt::format(fmt::runtime(byte_format), code);
    } else if (is_direction) {
      safe += fmt::format("\\u{:04x}", code);
    } else {
      safe += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return safe;
}

size_t CharactersOf(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Pad(const std::string& text, size_t width, bool right) {
  const size_t have = CharactersOf(text);
  const std::string spaces(width > have ? width - have : 0, ' ');
  return right ? spaces + text : text + spaces;
}

}  // namespace

std::string PrintMessage(const google::protobuf::Message& message, Format format) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return "{}\n";
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (format != Format::kYaml) {
    return EscapeControls(json.dump(2), /*keeps_lines=*/true, "\\u00{:02x}") + "\n";
  }
  YAML::Emitter out;
  Emit(json, out);
  return EscapeControls(out.c_str(), /*keeps_lines=*/true, "\\u00{:02x}") + "\n";
}

std::string Printable(std::string_view text) {
  return EscapeControls(text, /*keeps_lines=*/false, "\\x{:02x}");
}

std::string PrintableText(std::string_view text) {
  return EscapeControls(text, /*keeps_lines=*/true, "\\x{:02x}");
}

TableWriter::TableWriter(std::vector<std::string> header) : titles_(std::move(header)) {
  for (std::string& title : titles_) {
    right_.push_back(title.starts_with('>'));
    if (right_.back()) title.erase(0, 1);
    widths_.push_back(CharactersOf(title));
  }
}

std::string TableWriter::Add(std::vector<std::string> row) {
  for (size_t i = 0; i < titles_.size(); ++i) {
    row.at(i) = Printable(row.at(i));
    widths_[i] = std::max(widths_[i], CharactersOf(row[i]));
  }
  rows_.push_back(std::move(row));
  return rows_.size() < kBlockRows ? "" : End();
}

std::string TableWriter::End() {
  std::string text;
  if (!std::exchange(has_printed_header_, true)) text += Line(titles_);
  for (const auto& row : std::exchange(rows_, {})) text += Line(row);
  return text;
}

std::string TableWriter::Line(const std::vector<std::string>& cells) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    line += Pad(cells[i], widths_[i], right_[i]) + (i + 1 < cells.size() ? "  " : "");
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string PrintTable(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows) {
  TableWriter table(header);
  std::string text;
  for (const auto& row : rows) text += table.Add(row);
  return text + table.End();
}

std::string PrintCurve(const std::vector<double>& values, size_t width_max) {
  static constexpr std::array<const char*, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t width = std::min(values.size(), width_max);
  std::vector<double> cells(width);
  for (size_t i = 0; i < width; ++i) {
    const size_t begin = i * values.size() / width, end = (i + 1) * values.size() / width;
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += values[j];
    cells[i] = sum / static_cast<double>(end - begin);
  }
  double low = INFINITY, high = -INFINITY;
  for (const double cell : cells) {
    if (!std::isfinite(cell)) continue;
    low = std::min(low, cell);
    high = std::max(high, cell);
  }
  std::string text;
  for (const double cell : cells) {
    if (!std::isfinite(cell)) {
      text += '?';
      continue;
    }
    const double share = high > low ? (cell - low) / (high - low) : 0.5;
    text += kBlocks.at(static_cast<size_t>(std::lround(share * (kBlocks.size() - 1))));
  }
  return text;
}

std::string PrintBar(double ratio, int width) {
  ratio = std::isfinite(ratio) ? std::clamp(ratio, 0.0, 1.0) : 0;
  const auto filled = static_cast<int>(ratio * width);
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < filled ? "█" : "░";
  return fmt::format("{} {:5.1f} %", bar, 100 * ratio);
}

std::string PrintDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "-";
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

std::string PrintAge(const google::protobuf::Timestamp& time, absl::Time now) {
  if (time.seconds() == 0) return "-";
  return PrintDuration(
      std::max(0.0, absl::ToDoubleSeconds(now - absl::FromUnixSeconds(time.seconds()))));
}

std::string PrintBytes(int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

std::string PrintRatio(double ratio) {
  return std::isnan(ratio) ? "-" : fmt::format("{:.2f} %", 100 * ratio);
}

std::string PrintNumber(double value) { return fmt::format("{}", value); }

std::string PrintState(const std::string& enum_name) {
  std::string text = enum_name;
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace bsnn::client
