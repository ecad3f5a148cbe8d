/*
 * What PostSRSd 1.10 of Debian 12 answered on day 20779 (2026-11-22) with the
 * secret "tops3cret" for fwd.example: forward, and reverse of that.
 */
#pragma once

static const struct {
	const char *from, *to, *back;
} vectors[] = {
	{ "joe@a.example", "SRS0=nTFQ=JL=a.example=joe@fwd.example",
	    "joe@a.example" },
	{ "Joe.Doe+x@A.Example", "SRS0=zXIf=JL=A.Example=Joe.Doe+x@fwd.example",
	    "Joe.Doe+x@A.Example" },
	{ "a=b=c@a.example", "SRS0=atBb=JL=a.example=a=b=c@fwd.example",
	    "a=b=c@a.example" },
	{ "SRS0=HHHH=TT=orig.example=joe@b.example",
	    "SRS1=8i3T=b.example==HHHH=TT=orig.example=joe@fwd.example",
	    "SRS0=HHHH=TT=orig.example=joe@b.example" },
	{ "SRS1=HHHH=b.example==HHHH=TT=orig.example=joe@c.example",
	    "SRS1=8i3T=b.example==HHHH=TT=orig.example=joe@fwd.example",
	    "SRS0=HHHH=TT=orig.example=joe@b.example" },
	{ "srs0+hhhh=tt=orig.example=joe@b.example",
	    "SRS1=bnft=b.example=+hhhh=tt=orig.example=joe@fwd.example",
	    "SRS0+hhhh=tt=orig.example=joe@b.example" },
};
