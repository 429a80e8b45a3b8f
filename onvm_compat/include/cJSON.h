/* OpenNetVM bundles cJSON; here it is the distribution's (libcjson-dev). */
#ifndef ONVM_COMPAT_CJSON_H
#define ONVM_COMPAT_CJSON_H

#include <cjson/cJSON.h>

#endif /* ONVM_COMPAT_CJSON_H */
