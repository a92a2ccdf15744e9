# SPDX-License-Identifier: GPL-2.0-or-later
# One file a shell; shells look for one of the program's name.
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_zshcompletion_DATA = completion/_dmm
EXTRA_DIST += completion/dmm.bash completion/dmm.fish

install-data-hook:
	$(MKDIR_P) $(DESTDIR)$(bashcompletiondir) $(DESTDIR)$(fishcompletiondir)
	for p in mnctl amactl hoa-exec mhtool mnd amad; do \
		$(INSTALL_DATA) $(srcdir)/completion/dmm.bash $(DESTDIR)$(bashcompletiondir)/$$p && \
		$(INSTALL_DATA) $(srcdir)/completion/dmm.fish $(DESTDIR)$(fishcompletiondir)/$$p.fish || exit 1; \
	done
uninstall-hook:
	for p in mnctl amactl hoa-exec mhtool mnd amad; do \
		rm -f $(DESTDIR)$(bashcompletiondir)/$$p $(DESTDIR)$(fishcompletiondir)/$$p.fish; \
	done
