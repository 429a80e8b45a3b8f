// A GPU NF's table as its control process hands it over: a file.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "nf_lib/result.h"

namespace hb {

/// Reads the file once, into memory of this process: what is checked is what is used, whatever its
/// writer does to the file meanwhile.
class TableFile {
 public:
  /// @param path  empty: an empty table
  static Result<TableFile> open(const std::string& path);
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(content_));
  }

 private:
  std::string content_;
};

}  // namespace hb
