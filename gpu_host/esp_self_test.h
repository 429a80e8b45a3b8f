// ipsec's self-test: frames and SAs whose answers are known.
#pragma once

#include "gpu_host/catalog.h"

namespace hb {

SelfTest esp_self_test();

}  // namespace hb
