// Line-based CSV: what routes.csv and flows.csv are written in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nf_lib/result.h"

namespace hb {

/// One line that is not blank and not only a comment.
struct CsvRow {
  int line = 0;                     ///< 1 for the file's first line
  std::vector<std::string> fields;  ///< at least one; blanks around each are removed
};

/// A file's rows, in the file's order.
struct CsvFile {
  std::string path;  ///< as the user gave it; empty: the rows are from no file
  std::vector<CsvRow> rows;

  /// An error at a line: "path:line: what", or "what" alone.
  [[nodiscard]] Error error(int line, const std::string& what, const std::string& fix) const;
};

/// Splits text into rows. Fields are separated by commas; `#` starts a comment that runs to the
/// line's end; blank lines are skipped; CRLF and a leading UTF-8 byte order mark are accepted.
/// There is no quoting: a quote is a character of its field.
/// @param path  names the text in errors
/// @return an error for a control character, so that a binary file is refused at once
Result<CsvFile> parse_csv(const std::string& path, std::string_view text);

/// Reads a whole file, then parse_csv(). Any file that can be read to its end will do, a pipe too.
/// @return an error when it can't be opened or read, is a directory or is larger than 64 MiB
Result<CsvFile> read_csv(const std::string& path);

/// A decimal number without sign, blanks or other characters.
/// @return false, leaving value unchanged, for anything else or a number above max
bool parse_decimal(std::string_view text, std::uint32_t max, std::uint32_t& value);

}  // namespace hb
