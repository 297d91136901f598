"""The page itself: each tab builds its parts and answers its own events.

layout             masthead, tabs, endpoints in one `gr.Blocks`
photo_parts, photo_tab, batch_tab, video_tab
                   parts, what their events do, and which parts change: `{part: value}`
guide_panel, guide_view
                   colours that a visitor knows: the events, and what the browser shows
shown              what is kept of a photograph between events
parts, visit       what tabs share; who asks, in which language
endpoints          the named functions for programs
views, theme       pieces of HTML; looks and scripts from `assets/`
"""
