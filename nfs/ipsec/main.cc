// The ipsec program: nfs/ipsec/README.md says how to run it.
#include "nfs/ipsec/ipsec.h"

int main(int argc, char** argv) {
  return hb::nf_main<hb::ipsec::Ipsec, hb::ipsec::IpsecOnGpu>(argc, argv, hb::ipsec::description());
}
