# SPDX-License-Identifier: GPL-2.0-or-later
dist_man_MANS += man/mnd.8 man/mnd.conf.5 man/amad.8 man/amad.conf.5
dist_man_MANS += man/dmm.7 man/mhtool.1 man/hoa-exec.1
dist_man_MANS += man/libmnd.3
dist_man_MANS += man/mnctl.1 man/amactl.1
dist_man_MANS += man/dmm-messages.7
