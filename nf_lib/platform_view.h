// What a process sees of the platform once it is attached. Not owning; cheap to copy.
#pragma once

#include "nf_lib/control_layout.h"
#include "nf_lib/mbuf_check.h"
#include "nf_lib/region.h"

namespace hb {

struct PlatformView {
  RegionView region;
  const Registry* registry = nullptr;
  const RouteTables* routes = nullptr;
  PacketCheck check;
};

}  // namespace hb
