/// What bsnnctl prints: messages as JSON or YAML, rows as a table, curves as blocks.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <string_view>
#include <vector>

namespace bsnn::client {

enum class Format { kTable, kJson, kYaml, kName };

/// `text` in one line, safe for a terminal: control characters (line ends too), marks that change
/// the direction of writing, and bytes that are not UTF-8 become \n, \t, \x1b, \u202e and the like.
std::string Printable(std::string_view text);
/// The same for text of several lines: line ends and tabs stay.
std::string PrintableText(std::string_view text);

/// One message as JSON (two spaces) or YAML, field names as in the proto, ending in a line end.
std::string PrintMessage(const google::protobuf::Message& message, Format format);

/// Rows under a header, columns as wide as their widest cell (in characters, not bytes). Columns
/// whose header starts with '>' are aligned to the right. Cells are made Printable.
std::string PrintTable(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows);

/// A table of any length in bounded memory: columns are as wide as the widest cell so far, looked
/// at in blocks of rows.
class TableWriter {
 public:
  explicit TableWriter(std::vector<std::string> header);

  /// Takes a row; returns the text of the block that it completes, or nothing.
  std::string Add(std::vector<std::string> row);
  /// The text of the rows that are left, with the header where none was printed.
  std::string End();

 private:
  static constexpr size_t kBlockRows = 1000;

  std::string Line(const std::vector<std::string>& cells) const;

  std::vector<std::string> titles_;
  std::vector<bool> right_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
  bool has_printed_header_ = false;
};

/// A curve over its points in one line of blocks, lowest to highest; `width_max` columns at most,
/// each the mean of the points it covers. Points that are not finite are '?'.
std::string PrintCurve(const std::vector<double>& values, size_t width_max);

/// "[#######-------] 50.0 %" of `width` cells.
std::string PrintBar(double ratio, int width);

std::string PrintDuration(double seconds);  ///< "1 h 02 min", "2 min 05 s", "7 s"
std::string PrintAge(const google::protobuf::Timestamp& time,
                     absl::Time now);   ///< "5 min"; "-" if absent
std::string PrintBytes(int64_t bytes);  ///< "1.2 MiB"
std::string PrintRatio(double ratio);   ///< "98.12 %"; "-" for NaN
/// Enough digits to read the same double back.
std::string PrintNumber(double value);

/// The word of an enum value in lower case: "running".
std::string PrintState(const std::string& enum_name);

}  // namespace bsnn::client
