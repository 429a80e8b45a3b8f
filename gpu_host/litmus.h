// The litmus test: whether a running kernel and another process see each other's writes, whatever
// the device claims. kernels/litmus.cl is the device's side, run_litmus_peer the other process'.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nf_lib/region.h"
#include "nf_lib/result.h"

namespace hb {

/// Turns that must be answered; fewer will do where the cores are so busy that each takes long.
inline constexpr std::uint32_t kLitmusTurns = 4000;
inline constexpr std::uint32_t kLitmusLeastTurns = 256;

/// Arguments that make this program the peer: "--litmus-peer FILE OFFSET".
std::vector<std::string> litmus_peer_args(const std::string& region_path,
                                          const RegionLayout& layout);

/// The peer's main: maps the scratch area out of the region's file, waits until the kernel shows
/// that it runs, then asks and checks turn after turn. Prints one line.
/// @param args  the two after "--litmus-peer"
/// @return exit status; 0 when every turn was answered rightly
int run_litmus_peer(const std::string& region_path, std::uint64_t offset);

/// Lets another process and a running kernel answer each other over the region's scratch area.
/// @param helper  this program, run again as the peer
/// @param launch  starts kernels/litmus.cl's hb_litmus; must not wait for its end
/// @param join    waits for its end: it was told to quit, and has a poll budget
/// @return an Error with the reason in a few words if they don't
Result<void> litmus_test(const std::string& helper, const std::string& region_path,
                         const RegionView& region, const std::function<Result<void>()>& launch,
                         const std::function<Result<void>()>& join);

}  // namespace hb
