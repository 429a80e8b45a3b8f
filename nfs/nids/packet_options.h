// The values of options about headers and rates: dsize, flags, itype, icode, ttl, ip_proto, flow,
// threshold, detection_filter.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "nf_lib/result.h"
#include "nfs/nids/packet_tests.h"
#include "nfs/nids/rule.h"

namespace hb::nids {

/// `N`, `!N`, `<N`, `>N`, `<=N`, `>=N`, `A<>B`, `!A<>B`; with dash also `A-B`, which means the same
/// as `A<>B`. A range that no number is in is an error.
Result<NumberTest> parse_number_test(std::string_view text, std::uint32_t most, bool dash = false);

/// `[!*+]SAPRFUCE12`, then `,` and the bits not to look at.
Result<TcpFlagsTest> parse_tcp_flags(std::string_view text);

/// `[!<>]` and a number or one of the names tcp, udp, icmp, igmp, gre, esp, ah, ...
Result<NumberTest> parse_ip_proto(std::string_view text);

/// `established,to_server` and the like. only_stream is named in `unsupported`.
Result<FlowTest> parse_flow(std::string_view text, std::set<std::string>& unsupported);

/// The value of threshold, or with is_filter of detection_filter.
Result<Threshold> parse_threshold(std::string_view text, bool is_filter,
                                  std::set<std::string>& unsupported);

}  // namespace hb::nids
