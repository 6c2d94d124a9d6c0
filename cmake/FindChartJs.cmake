# Finds Chart.js, of which Debian ships libjs-chart.js. Defines ChartJs_FOUND, ChartJs_SCRIPT and ChartJs_LICENCE, its
# copyright and licence.
find_file(ChartJs_SCRIPT NAMES chart.min.js PATHS /usr/share/javascript/chart.js NO_DEFAULT_PATH)
find_file(ChartJs_LICENCE NAMES copyright PATHS /usr/share/doc/libjs-chart.js NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ChartJs REQUIRED_VARS ChartJs_SCRIPT ChartJs_LICENCE
  REASON_FAILURE_MESSAGE "install libjs-chart.js")
mark_as_advanced(ChartJs_SCRIPT ChartJs_LICENCE)
