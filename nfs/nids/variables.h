// The $VARIABLES of rule headers: HOME_NET, HTTP_PORTS and their like.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "nf_lib/result.h"

namespace hb::nids {

/// The values that --vars gives. Without a file every variable means `any`.
class Variables {
 public:
  /// Every variable means `any`.
  Variables() = default;

  /// Reads `NAME: VALUE`, `NAME = VALUE`, and Snort's `ipvar NAME VALUE`, `portvar` and `var`; the
  /// value may be quoted, `#` begins a comment, and keys without a value (`vars:`) are nothing: so
  /// the `vars` section of a suricata.yaml can be given as it is.
  /// @return an Error with file:line
  static Result<Variables> load(const std::string& path);

  /// From text, for tests; `path` names it in errors.
  static Result<Variables> parse(std::string_view text, const std::string& path);

  [[nodiscard]] bool all_are_any() const noexcept { return path_.empty(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// @param name  without its `$`
  /// @return null if the file does not define it
  [[nodiscard]] const std::string* find(std::string_view name) const;

 private:
  std::string path_;
  std::map<std::string, std::string, std::less<>> values_;
};

/// What the header of one rule said of variables.
struct VariableUse {
  const Variables* variables = nullptr;  ///< null: every variable means `any`
  std::set<std::string> taken_as_any;    ///< names with their `$`
  /// Names that the file does not define, or defines by themselves.
  std::set<std::string> undefined;
};

}  // namespace hb::nids
