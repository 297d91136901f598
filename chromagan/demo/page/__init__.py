"""The page itself: each tab builds its parts and answers its own events.

layout            masthead, tabs, endpoints in one `gr.Blocks`
photo_tab, batch_tab, video_tab
                  parts, what their events do, and which parts change: `{part: value}`
parts, visit      what tabs share; who asks, in which language
endpoints         the named functions for programs
views, texts, theme
                  pieces of HTML; sentences from texts/*.yaml; looks from assets/*
"""
