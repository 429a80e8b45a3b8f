// The values of byte_test, byte_jump and isdataat.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "nf_lib/result.h"
#include "nfs/nids/payload_steps.h"

namespace hb::nids {

/// Each parses one value as Suricata's user guide, "Payload Keywords", has it. What is right but
/// asks for more than this NF does (dce, variables) is named in `unsupported`.
Result<ByteTest> parse_byte_test(std::string_view value, std::set<std::string>& unsupported);
Result<ByteJump> parse_byte_jump(std::string_view value, std::set<std::string>& unsupported);
Result<IsDataAt> parse_isdataat(std::string_view value, std::set<std::string>& unsupported);

}  // namespace hb::nids
